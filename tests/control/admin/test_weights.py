"""POST /api/v1/weights."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.reload import Change
from proxy.control.state import State
from tests.control.conftest import LOCAL, MakeState


@pytest.fixture
def state(make_state: MakeState) -> State:
    return make_state(write="true")


def post(client: TestClient, **body: Any) -> Any:
    return client.post("/api/v1/weights", json={"endpoint": "GET /a/{id}", "weight": 50, **body})


def test_it_is_off_by_default(make_state: MakeState) -> None:
    state = make_state()
    client = TestClient(build(state), base_url=LOCAL)
    assert post(client).status_code == 403
    assert "12.5" in state.reloader.path.read_text()


def test_a_preview_tells_the_difference_and_changes_nothing(client: TestClient, state: State) -> None:
    before = state.reloader.running
    answer = post(client, preview=True, hash=before.snapshot.hash).json()
    assert (answer["difference"], answer["applied"]) == (["GET /a/{id}: weight 12.5 -> 50"], False)
    assert state.reloader.running is before


def test_a_change_is_applied_and_remembered_with_its_author(make_state: MakeState) -> None:
    changes: list[Change] = []
    state = make_state(write="true", record=changes.append)
    answer = TestClient(build(state), base_url=LOCAL).post(
        "/api/v1/weights", json={"endpoint": "GET /a/{id}", "weight": 50}, headers={"x-author": "ada\x7f"}
    )
    assert answer.json() == {
        "hash": state.reloader.running.snapshot.hash,
        "difference": ["GET /a/{id}: weight 12.5 -> 50"],
        "applied": True,
    }
    (change,) = changes
    assert (change.author, change.hash) == ("ada", state.reloader.running.snapshot.hash)
    assert "POST /api/v1/weights from" in change.trigger
    assert "weight: 50" in change.text


def test_a_weight_replaces_a_rollout_and_the_difference_says_so(make_state: MakeState) -> None:
    state = make_state(write="true")
    path, plan = state.reloader.path, "rollouts: {careful: {steps: [0, 100], advance: {parity: off}}}\n"
    path.write_text(plan + path.read_text().replace("weight: 12.5", "rollout: careful"))
    client = TestClient(build(state), base_url=LOCAL)
    client.post("/api/v1/reload")
    wanted = ["GET /a/{id}: rollout careful -> weight 50 (in force at once)"]
    assert post(client, preview=True).json()["difference"] == wanted
    assert "rollout: careful" in path.read_text()
    answer = post(client).json()
    assert (answer["difference"], answer["applied"]) == (wanted, True)
    assert "GET /a/{id}: {weight: 50}" in path.read_text()


def test_who_decided_on_another_configuration_is_refused(client: TestClient) -> None:
    answer = post(client, hash="0" * 16)
    assert answer.status_code == 409
    assert "has changed since you loaded it" in answer.json()["detail"]


def test_a_weight_out_of_order_is_a_problem_with_its_reason(client: TestClient) -> None:
    answer = post(client, endpoint="POST /b", weight=5, preview=True)
    assert answer.status_code == 422
    assert "before phase reads is at 100" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b"not json", "application/json", 400),
        (b'{"endpoint": "GET /a/{id}", "weight": "50"}', "application/json", 400),
        (b'{"endpoint": "GET /a/{id}", "weight": 50, "wait": 1}', "application/json", 400),
        (b'{"endpoint": "GET /a/{id}", "weight": 50}', "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
    ],
)
def test_a_bad_body_is_a_problem(client: TestClient, body: bytes, content_type: str, status: int) -> None:
    answer = client.post("/api/v1/weights", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
