from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.cli.target import DEFAULT_ADMIN, admin_of
from tests.control.site import Site
from tests.support.ports import free_port


def file(folder: Path, admin: str, rest: str = "") -> Path:
    path = folder / "routing.yaml"
    path.write_text(f"server: {{admin: '{admin}'}}\n{rest}")
    return path


@pytest.mark.parametrize(
    ("admin", "url"),
    [
        ("10.0.0.1:9100", "http://10.0.0.1:9100"),
        ("0.0.0.0:9100", "http://127.0.0.1:9100"),
        ("[::]:9100", "http://[::1]:9100"),
        ("${ADMIN:-127.0.0.1:9101}", "http://127.0.0.1:9101"),
        ("127.0.0.1:0", DEFAULT_ADMIN),
        ("nonsense", DEFAULT_ADMIN),
    ],
)
def test_the_file_names_the_admin_port(tmp_path: Path, admin: str, url: str) -> None:
    assert admin_of(file(tmp_path, admin)) == url


def test_it_is_found_in_a_file_that_would_be_refused(tmp_path: Path) -> None:
    path = file(tmp_path, "127.0.0.1:9102", "endpoints: {GET /a: {weight: 500, b: 1}}\nother: ${UNSET}\n")
    assert admin_of(path) == "http://127.0.0.1:9102"


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\ufffe", "server: 1"])
def test_a_file_that_cannot_be_understood_leaves_the_usual_port(tmp_path: Path, text: str) -> None:
    (tmp_path / "routing.yaml").write_text(text)
    assert admin_of(tmp_path / "routing.yaml") == DEFAULT_ADMIN


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


COMMANDS = [
    ["status"],
    ["reload"],
    ["restart"],
    ["ledger"],
    ["freeze", "--reason", "x"],
    ["rollout", "list"],
    ["forget", "--path", "/a"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_every_command_asks_the_port_of_the_file_beside_it(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    file(tmp_path, f"127.0.0.1:{port}")
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert result.exit_code == 1
    assert f"http://127.0.0.1:{port}" in result.stderr


def test_the_environment_names_the_file_and_the_option_comes_first(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    ports = free_port(), free_port()
    one = file(tmp_path / "one", f"127.0.0.1:{ports[0]}")
    two = file(tmp_path / "two", f"127.0.0.1:{ports[1]}")
    assert f":{ports[0]}" in run("status", STRANGLER_CONFIG=str(one)).stderr
    assert f":{ports[1]}" in run("status", "--config", str(two), STRANGLER_CONFIG=str(one)).stderr
    asked = run("status", "--admin", "http://127.0.0.1:1", STRANGLER_CONFIG=str(one))
    assert "http://127.0.0.1:1:" in asked.stderr


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for result in (
        run("status", "--config", str(tmp_path / "none.yaml")),
        run("status", STRANGLER_CONFIG=str(tmp_path / "none.yaml")),
    ):
        assert result.exit_code == 2
        assert "none.yaml cannot be read" in result.stderr


@pytest.mark.parametrize("command", [["history"], ["writes", "--unknown"], ["writes"], ["rollback"]])
def test_a_state_database_that_is_not_there_is_no_evidence(command: list[str], tmp_path: Path) -> None:
    text = f"""
server: {{admin: '127.0.0.1:1', runtime_dir: {tmp_path}/run, state: 'sqlite:///{tmp_path}/state.db'}}
backends: {{legacy: {{urls: ['http://127.0.0.1:1']}}, async: {{urls: ['http://127.0.0.1:2']}}}}
endpoints: {{GET /a: {{weight: 0}}}}
"""
    path = tmp_path / "routing.yaml"
    path.write_text(text)
    result = run(*command, "--config", str(path))
    assert result.exit_code == 1
    assert f"no state database at {tmp_path}/state.db" in result.stderr


def test_set_waits_for_the_proxy_that_runs_with_this_file(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path_factory.mktemp("s"))
    site.up()
    try:
        monkeypatch.chdir(site.config.parent)
        result = run("set", "GET /a", "25")
        assert result.exit_code == 0, result.output
        assert "every worker serves" in result.stdout
        assert site.state()["hash"] in result.stdout
    finally:
        site.close()


def test_set_says_that_nobody_confirms_it(tmp_path: Path) -> None:
    text = f"""
server: {{admin: '127.0.0.1:{free_port()}'}}
backends: {{legacy: {{urls: ['http://127.0.0.1:1']}}, async: {{urls: ['http://127.0.0.1:2']}}}}
endpoints: {{GET /a: {{weight: 0}}}}
"""
    path = tmp_path / "routing.yaml"
    path.write_text(text)
    result = run("set", "GET /a", "25", "--config", str(path))
    assert result.exit_code == 0
    assert "not confirmed: no proxy at http://127.0.0.1:" in result.stderr
    assert "weight: 25" in path.read_text()
