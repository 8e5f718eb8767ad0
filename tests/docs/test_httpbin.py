"""docs/examples/httpbin: a pair of services that nobody here wrote, compared by real processes."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.compare.replay.recording import requests, survey
from proxy.compare.replay.run import Options, Planned, plan
from proxy.config import load_file
from tests.support.ports import free_port
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "httpbin"
HAR = EXAMPLE / "requests.har"
EQUAL = {"GET /get", "GET /cookies", "GET /uuid", "GET /status/{code}", "DELETE /delete"}
DIFFER = {
    "GET /redirect/{n}": (":status", "302", "500"),
    "GET /range/{n}": (":status", "200", "500"),
    "GET /deny": (":status", "200", "403"),
    "GET /bytes/{n}": (":status", "200", "422"),
    "GET /response-headers": ("$", None, "null"),
    "POST /post": ("json", None, None),
    "PUT /put": ("form.tag", '["a","b"]', '"b"'),
}
WITHOUT_RULES = {
    "GET /get": {"headers.host", "headers.x-caller", "headers.X-Caller"},
    "GET /status/{code}": {"header:content-type"},
    "DELETE /delete": {"headers.host", "extras", "method", "json"},
}


def test_the_example_is_read_whole_and_every_request_of_it_is_listed() -> None:
    snapshot = load_file(str(EXAMPLE / "routing.yaml")).snapshot
    about = survey(HAR)
    options = Options(1, 1, hosts=frozenset([about.host or ""]), sandbox=True)
    planned = [plan(snapshot, options, each) for each in requests(HAR, about.format)]
    named = [each.endpoint.name for each in planned if isinstance(each, Planned)]
    assert (about.format, about.requests, about.bad, len(named)) == ("HAR", 984, (), 984)
    assert set(named) == {each.name for each in snapshot.endpoints} == EQUAL | DIFFER.keys()


class Pair(NamedTuple):
    legacy: str
    async_: str

    def replay(self, path: Path, rules: bool, *arguments: str) -> Result:
        """With the configuration of the example, at the addresses of this pair."""
        settings = yaml.safe_load((EXAMPLE / "routing.yaml").read_text())
        settings["backends"] = {"legacy": {"url": self.legacy}, "async": {"url": self.async_}}
        if not rules:
            del settings["compare"]
            settings["endpoints"] = {name: {} for name in settings["endpoints"]}
        config = path / "routing.yaml"
        config.write_text(yaml.safe_dump(settings))
        told = ["replay", str(HAR), "--config", str(config), "--state", str(path / "state"), "--json"]
        sandbox = ["--sandbox", self.legacy, "--sandbox", self.async_]
        return CliRunner().invoke(main, [*told, *sandbox, "--rate", "2000", *arguments])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    ports = [free_port(), free_port()]
    commands = (
        [ROOT / ".httpbin/legacy/bin/gunicorn", "-b", f"127.0.0.1:{ports[0]}", "-w", "2", "httpbin:app"],
        [ROOT / ".httpbin/async/bin/uvicorn", "httpbinx.main:app", "--port", str(ports[1])],
    )
    with ExitStack() as stack:
        for port, command in zip(ports, commands, strict=True):
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.terminate)
            eventually(partial(_listens, port, process), f"something listens at port {port}")
        yield Pair(*(f"http://127.0.0.1:{port}" for port in ports))


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"exit code {process.poll()}: nothing listens at port {port}"
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@pytest.mark.httpbin
def test_with_the_rules_what_is_the_same_is_likely_equal_and_the_rest_is_named(
    pair: Pair, tmp_path: Path
) -> None:
    result = pair.replay(tmp_path, True)
    found = _by_name(result)
    assert result.exit_code == 1
    assert {name for name, each in found.items() if each["verdict"] == "likely equal"} == EQUAL
    for name, (path, legacy, async_) in DIFFER.items():
        shown = {each["path"]: each["examples"] for each in found[name]["fields"]}[path][0]
        assert legacy in (None, shown["legacy"])
        assert async_ in (None, shown["async"])
    assert found["DELETE /delete"]["executed_once"] == 180


@pytest.mark.httpbin
def test_what_is_the_same_passes_a_pipeline_with_the_rules_alone(pair: Pair, tmp_path: Path) -> None:
    chosen = [argument for name in sorted(EQUAL) for argument in ("--endpoint", name)]
    few = ("--limit", "250")
    assert pair.replay(tmp_path, True, *chosen, *few).exit_code == 0
    result = pair.replay(tmp_path, False, *chosen, *few)
    found = _by_name(result)
    assert result.exit_code == 1
    for name, paths in WITHOUT_RULES.items():
        wrong = {each["path"] for each in found[name]["fields"] if each["verdict"] == "fault"}
        assert (found[name]["verdict"], paths - wrong) == ("differs", set())


@pytest.mark.httpbin
def test_only_form_is_proposed_and_faults_are_listed(pair: Pair, tmp_path: Path) -> None:
    chosen = [argument for name in (*DIFFER, "DELETE /delete") for argument in ("--endpoint", name)]
    result = pair.replay(tmp_path, False, *chosen)
    report = tmp_path / "result.json"
    report.write_text(result.stdout)
    told = [
        "compare",
        "--suggest",
        "--replay",
        str(report),
        "--config",
        str(tmp_path / "routing.yaml"),
        "--json",
    ]
    made = {
        each["endpoint"]: each for each in json.loads(CliRunner().invoke(main, told).stdout)["suggestions"]
    }
    causes = {name: [fault["cause"] for fault in each["faults"]] for name, each in made.items()}
    assert "status 200 against 403" in causes["GET /deny"]
    assert "status 302 against 500" in causes["GET /redirect/{n}"]
    assert causes["GET /response-headers"] == ["another body"]
    assert {"ignore": "method", "reason": "a field that legacy does not have"} in [
        each["rule"] for each in made["DELETE /delete"]["rules"]
    ]
    for name in ("GET /deny", "GET /redirect/{n}", "GET /range/{n}", "GET /response-headers"):
        assert made[name]["rules"] == []


def _by_name(result: Result) -> dict[str, Any]:
    return {each["endpoint"]: each for each in json.loads(result.stdout)["endpoints"]}
