"""Secrets are planted everywhere a configuration has them; nothing that the control process says has one."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from proxy.config import Loaded
from proxy.control.admin.app import build
from proxy.control.collect import Collector
from proxy.control.hearing import Hearing
from proxy.control.ledger import Ledger
from proxy.control.pulse import Pulse
from proxy.control.recorder import Recorder
from proxy.control.reload import InForce, Reloader, load
from proxy.control.restart import Restarter
from proxy.control.state import State
from proxy.control.supervisor.supervisor import supervise
from proxy.control.verdicts import Verdicts
from tests.control.conftest import LOCAL

SECRET = "pl4nted"
TEXT = f"""\
server: {{admin_token: {SECRET}-1, state: "postgresql://u:{SECRET}-2@127.0.0.1:1/x"}}
override: {{token: {SECRET}-3}}
sticky: {{salt: {SECRET}-4}}
backends: {{legacy: {{url: "http://127.0.0.1:1"}}, async: {{url: "http://127.0.0.1:2"}}}}
endpoints:
  GET /a: {{weight: 5}}
"""


FROM_FILES = """\
server: {admin_token: "${file:admin}", state: "sqlite:///%s/state.db"}
override: {token: "${file:override}"}
sticky: {salt: "${file:salt}"}
backends:
  legacy: {url: "http://127.0.0.1:1", version: "${file:version}", dry_run: {header: "x-dry: ${file:dry}"}}
  async: {url: "http://127.0.0.1:2", health: {headers: ["authorization: Bearer ${file:health}"]}}
endpoints:
  GET /a: {weight: 5}
"""
FILES = ("admin", "override", "salt", "version", "dry", "health")


def make(path: Path, text: str = TEXT) -> State:
    collector = Collector()

    async def publish(loaded: Loaded, generation: int) -> None:
        """There are no workers."""

    path.write_text(text)
    url = f"sqlite:///{path.parent}/state.db"
    recorder = Recorder(url)
    in_force = InForce(load(text.encode(), str(path)))
    reloader = Reloader(path, text.encode(), in_force, publish, record=recorder.record)
    supervisor = supervise(("true",), "", collector, Pulse(Hearing()))
    return State(
        reloader,
        supervisor,
        collector,
        Restarter(reloader, supervisor, str(path.parent)),
        Verdicts(url, lambda: reloader.running.snapshot),
        recorder=recorder,
        ledger=Ledger(url, collector, lambda: reloader.running.snapshot),
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weight: 5", "weight: 50"),
        ("weight: 5", "weight: 500"),
        (f"admin_token: {SECRET}-1", f"admin_token: [{SECRET}-1]"),
        (f"admin_token: {SECRET}-1", f"admin_tokn: {SECRET}-1"),
        (f"token: {SECRET}-3", f"token: {SECRET}-5"),
        (f"salt: {SECRET}-4", f"salt: {SECRET}-6"),
        (f"u:{SECRET}-2@", f"u:{SECRET}-2 @"),
    ],
)
def test_no_answer_page_or_log_line_holds_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    state = make(tmp_path / "routing.yaml")
    state.reloader.path.write_text(TEXT.replace(old, new))
    nothing_tells(state, f"{SECRET}-1", caplog)


@pytest.mark.parametrize(
    "content", [f"{SECRET}-new", f"{SECRET} \n new", f"{SECRET}\n\n", f"{SECRET}\udcff", ""]
)
@pytest.mark.parametrize("changed", FILES)
def test_no_answer_page_or_log_line_holds_the_content_of_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changed: str, content: str
) -> None:
    for name in FILES:
        (tmp_path / name).write_text(f"{SECRET}-{name}\n")
    state = make(tmp_path / "routing.yaml", FROM_FILES % tmp_path)
    (tmp_path / changed).write_bytes(content.encode("utf-8", "surrogateescape"))
    said = nothing_tells(state, f"{SECRET}-admin", caplog)
    accepted = content == f"{SECRET}-new"
    assert said.status_code == (200 if accepted else 422)
    assert len(said.json()["difference" if accepted else "errors"]) == 1


def nothing_tells(state: State, token: str, caplog: pytest.LogCaptureFixture) -> httpx2.Response:
    """After a reload, whose answer is returned."""
    assert state.recorder is not None
    client = TestClient(build(state), base_url=LOCAL)
    with caplog.at_level(logging.INFO):
        said = [client.post("/api/v1/reload", headers={"authorization": f"Bearer {token}"})]
        client.post("/api/v1/reload", headers={"authorization": f"Bearer {SECRET}-wrong"})
        asyncio.run(state.recorder._flush())
        paths = (
            "/",
            "/metrics",
            *(f"/api/v1/{name}" for name in ("config", "endpoints", "history", "audit", "ledger")),
        )
        said += [client.get(path) for path in paths]
    assert [answer.status_code for answer in said[1:]] == [200] * len(paths)
    assert state.audit()
    assert [str(answer.url) for answer in said if SECRET in answer.text] == []
    assert SECRET not in caplog.text
    return said[0]
