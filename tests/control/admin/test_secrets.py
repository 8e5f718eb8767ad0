"""Secrets are planted everywhere a configuration has them; nothing that the control process says has one."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from proxy.config import Loaded
from proxy.control.admin.app import build
from proxy.control.collect import Collector
from proxy.control.ledger import Ledger
from proxy.control.recorder import Recorder
from proxy.control.reload import Reloader, load
from proxy.control.restart import Restarter
from proxy.control.state import State
from proxy.control.supervisor import Supervisor
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


def make(path: Path) -> State:
    collector = Collector()

    async def publish(loaded: Loaded, generation: int) -> None:
        """There are no workers."""

    path.write_text(TEXT)
    reloader = Reloader(path, TEXT.encode(), load(TEXT.encode(), str(path)), publish)
    url = f"sqlite:///{path.parent}/state.db"
    supervisor = Supervisor(("true",), "", collector)
    state = State(
        reloader,
        supervisor,
        collector,
        Restarter(reloader, supervisor, str(path.parent)),
        Verdicts(url, lambda: reloader.running.snapshot),
        recorder=Recorder(url),
        ledger=Ledger(url, collector, lambda: reloader.running.snapshot),
    )
    assert state.recorder is not None
    reloader.record = state.recorder.record
    return state


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
    assert state.recorder is not None
    client = TestClient(build(state), base_url=LOCAL)
    state.reloader.path.write_text(TEXT.replace(old, new))
    with caplog.at_level(logging.INFO):
        said = [client.post("/api/v1/reload", headers={"authorization": f"Bearer {SECRET}-1"})]
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
