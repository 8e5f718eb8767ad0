from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_file
from tests.control.site import Site

TEXT = """\
# The table.
backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}
endpoints:
  GET /a/{x}:  {weight: 25}   # reads first
  POST /a:     {weight: 0}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(TEXT)
    return path


def run(file: Path, endpoint: str, weight: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["set", endpoint, weight, "--config", str(file), *more])


def test_number_is_changed_and_nothing_else(file: Path) -> None:
    file.chmod(0o604)
    result = run(file, "GET /a/{x}", "50")
    assert result.exit_code == 0
    assert result.stdout == "GET /a/{x}: weight 25 -> 50\n"
    assert file.read_text() == TEXT.replace("25", "50")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


@pytest.mark.parametrize("weight", ["1_0", "٣", "1e1", " 7", "", "nan", "inf", "0x5", "5%", "true"])
def test_a_number_that_the_file_could_not_hold_is_refused(file: Path, weight: str) -> None:
    result = run(file, "GET /a/{x}", weight)
    assert result.exit_code == 2
    assert "is not a number from 0 to 100" in result.stderr
    assert file.read_text() == TEXT


def test_same_weight_leaves_the_file_alone(file: Path) -> None:
    before = file.stat()
    result = run(file, "GET /a/{x}", "25")
    assert (result.exit_code, result.stdout) == (0, "GET /a/{x}: weight is 25 already\n")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_symbolic_link_is_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    assert run(link, "GET /a/{x}", "50").exit_code == 0
    assert link.is_symlink()
    assert "weight: 50" in file.read_text()


@pytest.mark.parametrize(
    ("endpoint", "weight", "message"),
    [
        ("GET /a/{x}", "101", "101 is not between 0 and 100"),
        ("GET /a/{x}", "1.001", "has more than two decimal places"),
        ("GET /a/{x}", "nan", "'nan' is not a number from 0 to 100"),
        ("GET /a/{x}", "many", "'many' is not a number from 0 to 100"),
        ("GET /b", "5", "is not listed in routing.yaml; listed are: GET /a/{x}, POST /a"),
        ("POST /a", "5", "before phase reads is at 100: GET /a/{x} (25)"),
    ],
)
def test_refused_change_exits_2_and_leaves_the_file_alone(
    file: Path, endpoint: str, weight: str, message: str
) -> None:
    result = run(file, endpoint, weight)
    assert result.exit_code == 2
    assert message in result.stderr
    assert file.read_text() == TEXT


def test_lowering_is_obeyed_though_it_breaks_the_order(file: Path) -> None:
    file.write_text(TEXT.replace("weight: 25", "weight: 100").replace("weight: 0", "weight: 50"))
    result = run(file, "GET /a/{x}", "10")
    assert result.exit_code == 0
    assert "warning: POST /a: weight 50 in phase writes" in result.stderr
    assert "weight: 10}" in file.read_text()


def test_file_with_errors_is_not_edited(file: Path) -> None:
    file.write_text(broken := TEXT.replace("endpoints:", "x: 1\nendpoints:"))
    result = run(file, "GET /a/{x}", "50")
    assert result.exit_code == 2
    assert "x: unknown key" in result.stderr
    assert file.read_text() == broken


def test_file_that_can_not_be_written_exits_2(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run(file, "GET /a/{x}", "50")
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == [file.name]


def test_a_mounted_file_is_changed_in_place_with_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("proxy.config.files.os.replace", busy)
    result = run(file, "GET /a/{x}", "50")
    assert (result.exit_code, result.stdout) == (0, "GET /a/{x}: weight 25 -> 50\n")
    assert "warning: " in result.stderr
    assert "written in place" in result.stderr
    assert file.read_text() == TEXT.replace("25", "50")


Answer = Callable[[int], dict[str, Any] | None]


@contextmanager
def admin_port(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """An admin port whose n-th answer (from 0) to GET /api/v1/config is scripted; None is a 500."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answer(len(asked))
            asked.append(self.path)
            body = json.dumps(found).encode()
            self.send_response(200 if found is not None else 500)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serving(*hashes: str, running: str | None = None, error: Any = None) -> dict[str, Any]:
    workers = [{"id": number, "pid": 1, "hash": each, "connections": 0} for number, each in enumerate(hashes)]
    return {"hash": running or hashes[-1], "source": "routing.yaml", "workers": workers, "last_error": error}


def test_waits_until_every_worker_serves_the_new_hash(file: Path) -> None:
    def answer(count: int) -> dict[str, Any] | None:
        new = load_file(file).snapshot.hash
        return [serving("old", "old"), None, serving("old", new), serving(new, new)][count]

    with admin_port(answer) as (url, asked):
        result = run(file, "GET /a/{x}", "50", "--admin", url)
    assert result.exit_code == 0, result.output
    assert asked == ["/api/v1/config"] * 4
    assert f"every worker serves {load_file(file).snapshot.hash}" in result.stdout


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda new: serving("old", "old"), "the proxy serves old of routing.yaml, not"),
        (lambda new: serving(new, "old", running=new), "workers [1] do not serve"),
        (lambda new: {**serving(new), "workers": []}, "the proxy has no workers"),
        (lambda new: serving("old", error={"errors": ["why"]}), "why"),
        (lambda new: None, "500"),
    ],
)
def test_workers_that_do_not_follow_exit_1(file: Path, answer: Callable[[str], Any], message: str) -> None:
    with admin_port(lambda _: answer(load_file(file).snapshot.hash)) as (url, _):
        result = run(file, "GET /a/{x}", "50", "--admin", url, "--timeout", "0.2")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "weight: 50" in file.read_text()


def test_admin_port_that_is_not_there_exits_1(file: Path) -> None:
    with admin_port(lambda _: None) as (url, _):
        pass
    result = run(file, "GET /a/{x}", "50", "--admin", url, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "the file is written" in result.stderr


def test_answer_that_is_no_admin_ports_exits_1(file: Path) -> None:
    with admin_port(lambda _: {"hello": "world"}) as (url, _):
        result = run(file, "GET /a/{x}", "50", "--admin", url, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "is not the admin port of a proxy" in result.stderr


def test_a_real_proxy_follows_and_refuses_to_be_asked_for_what_it_does_not_serve(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    site = Site(tmp_path_factory.mktemp("s"))
    url = f"http://127.0.0.1:{site.admin}"
    try:
        site.up()
        result = run(site.config, "GET /a", "50", "--admin", url)
        assert (result.exit_code, result.stderr) == (0, "")
        assert site.state()["hash"] == load_file(site.config).snapshot.hash

        copy = site.directory / "copy.yaml"
        copy.write_text(site.config.read_text())
        result = run(copy, "GET /a", "60", "--admin", url, "--timeout", "0.3")
        assert result.exit_code == 1
        assert f"of {site.config}, not" in result.stderr
    finally:
        site.close()
