from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.state import State
from tests.support.writes import lose_a_write


@pytest.fixture
def client(state: State, tmp_path: Path) -> TestClient:
    """An admin app over a store with one write whose outcome is unknown."""
    url = f"sqlite:///{tmp_path}/state.db"

    lose_a_write(url)
    reloader = state.reloader
    reloader.started = replace(reloader.started, server=replace(reloader.started.server, state=url))
    return TestClient(build(state), base_url="http://127.0.0.1:9000", raise_server_exceptions=False)


def test_unknown_writes_are_listed(client: TestClient) -> None:
    [write] = client.get("/api/v1/writes?state=unknown").json()["writes"]
    assert (write["id"], write["owner"], write["endpoint"], write["principal"]) == (
        "lost",
        "legacy",
        "POST /x",
        "p",
    )
    assert client.get("/api/v1/writes?state=completed").json() == {"writes": [], "total": 0}


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=x", "limit=1001", "limit=0000000019"])
def test_a_wrong_question_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v1/writes?{query}").status_code == 400


def test_an_unknown_write_is_settled_once(client: TestClient) -> None:
    body = {"as": "done", "reason": "seen"}
    answer = client.post("/api/v1/writes/lost/settle", json=body)
    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert client.post("/api/v1/writes/lost/settle", json=body).status_code == 409


@pytest.mark.parametrize("body", [{}, {"as": "maybe", "reason": "x"}, {"as": "done", "reason": " "}])
def test_a_settlement_that_is_none_is_refused(client: TestClient, body: dict[str, str]) -> None:
    assert client.post("/api/v1/writes/lost/settle", json=body).status_code == 400
    assert len(client.get("/api/v1/writes?state=unknown").json()["writes"]) == 1
