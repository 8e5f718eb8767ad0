"""`set`, `check`, `explain` and `diff` on a file with rollouts, beside a proxy and without one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_file
from proxy.core.routing.buckets import bucket

TEXT = """\
server: {admin: '127.0.0.1:%d'}
backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}
rollouts:
  careful: {steps: [0, 5, 100], advance: {parity: off}}
endpoints:
  GET /a/{x}: {rollout: careful}   # reads first
  POST /a:    {weight: 0}
  POST /b:    {rollout: careful}
"""
READ = "GET /a/{x}"


class Proxy:
    """An admin port that runs with the file, and where its rollouts are."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.source = ""
        self.rollouts: Any = []

    def stands(self, **positions: tuple[float, str]) -> None:
        names = {"read": READ, "write": "POST /b"}
        self.rollouts = [
            {"endpoint": names[key], "plan": "careful", "state": state, "weight": weight}
            for key, (weight, state) in positions.items()
        ]

    def answer(self, path: str) -> Any:
        if path == "/api/v1/config":
            hash = load_file(self.source).snapshot.hash if self.source else "x"
            return {"source": self.source, "hash": hash, "workers": [{"id": 0, "hash": hash}]}
        return {"rollouts": self.rollouts} if path == "/api/v1/rollouts" else None


@contextmanager
def listening() -> Iterator[Proxy]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = proxy.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy = Proxy(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with listening() as found:
        yield found


@pytest.fixture
def file(tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The proxy that it names runs with another file until a test says otherwise."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "routing.yaml"
    path.write_text(TEXT % proxy.port)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def set_weight(file: Path, endpoint: str, weight: str) -> Result:
    return run("set", endpoint, weight, "--config", str(file))


def explained(file: Path, *more: str) -> dict[str, Any]:
    result = run("explain", "GET", "/a/1", "--config", str(file), "--json", *more)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_set_replaces_the_rollout_and_says_that_it_is_over(file: Path) -> None:
    before = file.read_text()
    result = set_weight(file, READ, "25")
    assert result.exit_code == 0
    assert result.stdout == (
        "GET /a/{x}: rollout careful -> weight 25; the rollout ends, this weight is in force at once\n"
    )
    assert file.read_text() == before.replace("{rollout: careful}   #", "{weight: 25}   #")


def test_set_without_a_proxy_leaves_the_order_to_it(file: Path) -> None:
    """It may be that somebody lowers it."""
    result = set_weight(file, "POST /b", "5")
    assert result.exit_code == 0
    assert "POST /b: rollout careful -> weight 5" in result.stdout


def test_set_asks_the_proxy_how_far_the_rollout_is(file: Path, proxy: Proxy) -> None:
    proxy.source = str(file)
    proxy.stands(read=(25, "running"), write=(10, "holding"))
    before = file.read_text()
    result = set_weight(file, "POST /b", "10.5")
    assert result.exit_code == 2
    assert "before phase reads is at 100: GET /a/{x} (25, rollout careful not done)" in result.stderr
    assert file.read_text() == before
    assert set_weight(file, "POST /b", "10").exit_code == 0  # as high as it was


@pytest.mark.parametrize(
    ("weight", "state", "code"), [(100, "running", 2), (100, "done", 0), (0, "rolled_back", 2)]
)
def test_a_write_may_be_raised_when_the_rollout_of_the_read_is_done(
    file: Path, proxy: Proxy, weight: float, state: str, code: int
) -> None:
    proxy.source = str(file)
    proxy.stands(read=(weight, state))
    assert set_weight(file, "POST /a", "5").exit_code == code


def test_an_answer_of_an_older_proxy_is_no_answer(file: Path, proxy: Proxy) -> None:
    proxy.source = str(file)
    proxy.rollouts = [{"endpoint": READ}]
    assert set_weight(file, "POST /a", "5").exit_code == 0


def test_check_notes_what_it_cannot_check(file: Path) -> None:
    result = run("check", str(file))
    assert result.exit_code == 0
    assert result.stderr == (
        f"{file}: note: GET /a/{{x}} and 1 more in a rollout: only the running proxy knows the weight, and "
        "lets a rollout wait for its phase; the order of phases was checked for the others alone\n"
    )


def test_check_without_rollouts_has_no_note(file: Path) -> None:
    file.write_text("backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}")
    assert run("check", str(file)).stderr == ""


def test_check_warns_of_a_plan_that_nobody_follows(file: Path) -> None:
    file.write_text((TEXT % 1).replace("{rollout: careful}", "{weight: 0}"))
    result = run("check", str(file))
    assert result.exit_code == 0
    assert f"{file}: warning: 4:3: rollouts.careful: no endpoint follows this plan" in result.stderr


def test_check_still_finds_weights_that_are_ahead_of_their_phase(file: Path) -> None:
    file.write_text(
        (TEXT % 1).replace("POST /a:    {weight: 0}", "POST /a: {weight: 5}\n  GET /c: {weight: 50}")
    )
    result = run("check", str(file))
    assert result.exit_code == 2
    assert "POST /a: weight 5 in phase writes before phase reads is at 100: GET /c (50)\n" in result.stderr


def test_explain_without_a_proxy_says_that_the_rollout_decides(file: Path) -> None:
    found = explained(file, "-H", "x-user-id: 42")
    assert (found["weight"], found["rollout"], found["backend"]) == (None, "careful", None)
    assert found["key"]["source"] == "header:x-user-id"
    lines = run("explain", "GET", "/a/1", "--config", str(file)).stdout.splitlines()
    assert "  backend   legacy or async: its rollout decides" in lines
    assert any(line.startswith("  weight    that of rollout careful, not known here") for line in lines)


def test_explain_beside_a_proxy_decides_by_the_effective_weight(file: Path, proxy: Proxy) -> None:
    proxy.source = str(file)
    place = bucket(b"default", "a", b"42")
    for weight, backend in ((place / 100, "legacy"), (place / 100 + 0.01, "async"), (100, "async")):
        proxy.stands(read=(weight, "running"))
        found = explained(file, "-H", "x-user-id: 42")
        assert (found["weight"], found["rollout"]) == (pytest.approx(weight), "careful")
        assert (found["backend"], found["reason"]) == (backend, "weight")
        assert found["config_hash"] == load_file(file).snapshot.hash
    lines = run("explain", "GET", "/a/1", "--config", str(file)).stdout.splitlines()
    assert "  weight    100, of rollout careful" in lines
    assert "  backend   async" in lines


def test_explain_asks_nobody_about_a_plain_weight(file: Path) -> None:
    result = run("explain", "POST", "/a", "--config", str(file), "--json")
    found = json.loads(result.stdout)
    assert (found["weight"], found["rollout"], found["backend"]) == (0, None, "legacy")


def test_diff_says_which_way_an_endpoint_goes(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("{rollout: careful}   #", "{weight: 5}   #"))
    assert run("diff", str(other), str(file)).stdout == "GET /a/{x}: weight 5 -> rollout careful\n"
    assert "rollout careful -> weight 5 (in force at once)" in run("diff", str(file), str(other)).stdout
