"""Named users of the admin port: what each may do, and that nobody takes another's name."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.recorder import Recorder
from proxy.control.security import FAILURES
from proxy.control.state import State
from proxy.store import configs
from proxy.store.audit import AuditEntry
from tests.control.conftest import LOCAL, MakeState
from tests.support.writes import lose_a_write

USERS = """
  admin_users:
    - {name: ada, token: ada-token, role: operator}
    - {name: eve, token: eve-token, role: viewer}
"""
SAMPLES = "/api/v1/comparisons/GET%20%2Fa%2F%7Bid%7D/samples"
WEIGHT = {"endpoint": "GET /a/{id}", "weight": 50}


@pytest.fixture
def state(make_state: MakeState) -> State:
    state = make_state(write="true", token="admin-token")
    with_users(state, USERS)
    return state


def with_users(state: State, users: str) -> None:
    """The file has these users from now on, and is in force."""
    text = state.reloader.path.read_text()
    server = next(line for line in text.splitlines() if line.startswith("server:"))
    settings = server.removeprefix("server: {").removesuffix("}").replace(", ", "\n  ")
    state.reloader.path.write_text(text.replace(server, f"server:\n  {settings}{users}"))
    assert asyncio.run(state.reloader.reload("test")).loaded is not None


@pytest.fixture
def client(state: State) -> TestClient:
    return TestClient(build(state), base_url=LOCAL)


def bearer(name: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-token", **more}


@pytest.mark.parametrize("name", ["ada", "eve", "admin"])
def test_every_user_reads_what_needs_a_token(client: TestClient, name: str) -> None:
    assert client.get(SAMPLES).status_code == 401
    assert client.get(SAMPLES, headers=bearer(name)).status_code == 200


@pytest.mark.parametrize(("name", "role"), [("ada", "operator"), ("eve", "viewer"), ("admin", "operator")])
def test_the_api_says_who_a_token_is(client: TestClient, name: str, role: str) -> None:
    assert client.get("/api/v1/me", headers=bearer(name)).json() == {"name": name, "role": role}


def test_without_users_everybody_may_change_things(make_state: MakeState) -> None:
    client = TestClient(build(make_state()), base_url=LOCAL)
    assert client.get("/api/v1/me").json() == {"name": None, "role": "operator"}


def changing(state: State) -> list[str]:
    routes = build(state).routes
    found = [route.path for route in routes if isinstance(route, Route) and "POST" in (route.methods or ())]
    assert len(found) > 5
    return found


def test_a_viewer_changes_nothing_and_is_told_so(client: TestClient, state: State) -> None:
    for path in changing(state):
        answer = client.post(path, headers=bearer("eve"), json={})
        assert answer.status_code == 403, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == (
            "eve (viewer) is not allowed to change anything: use an operator's token"
        )
    for _ in range(2 * FAILURES):  # it is no guess
        client.post("/api/v1/reload", headers=bearer("eve"))
    assert client.post("/api/v1/reload", headers=bearer("ada")).status_code == 200


def test_an_operator_changes_things(client: TestClient, state: State) -> None:
    assert client.post("/api/v1/weights", json=WEIGHT, headers=bearer("ada")).status_code == 200
    assert state.reloader.running.snapshot.endpoints[0].weight == 5000


def test_wrong_tokens_are_limited_with_users_too(client: TestClient) -> None:
    for _ in range(FAILURES):
        assert client.get("/api/v1/me", headers=bearer("mallory")).status_code == 401
    assert client.get("/api/v1/me", headers=bearer("ada")).status_code == 429


def audited(state: State, answer: httpx2.Response) -> tuple[AuditEntry, str]:
    """The newest entry of the audit log, and the author of the newest configuration."""
    assert answer.status_code == 200
    assert state.recorder is not None
    asyncio.run(state.recorder._flush())
    return state.audit()[0], asyncio.run(newest_author(state.reloader.started.server.state))


async def newest_author(url: str) -> str:
    async with configs.opened(url) as engine, engine.connect() as connection:
        (found,) = await configs.newest(connection, 1)
        return found.author


@pytest.fixture
def recorded(make_state: MakeState, tmp_path: Path) -> State:
    recorder = Recorder(f"sqlite:///{tmp_path}/state.db")
    state = make_state(write="true", token="admin-token", record=recorder.record)
    with_users(state, USERS)
    return replace(state, recorder=recorder)


@pytest.mark.parametrize(
    ("sent", "author", "claimed", "shown"),
    [
        (bearer("ada"), "ada", None, "ada"),
        (bearer("ada", **{"x-author": "ada"}), "ada", None, "ada"),
        (bearer("ada", **{"x-author": "bob"}), "ada", "bob", "ada (says: bob)"),
        (bearer("admin", **{"x-author": "ada"}), "admin", "ada", "admin (says: ada)"),
        (bearer("admin"), "admin", None, "admin"),
    ],
)
def test_the_record_has_the_users_name_and_beside_it_what_it_says(
    recorded: State, sent: dict[str, str], author: str, claimed: str | None, shown: str
) -> None:
    client = TestClient(build(recorded), base_url=LOCAL)
    answer = client.post("/api/v1/weights", json=WEIGHT, headers=sent)
    entry, in_history = audited(recorded, answer)
    details = entry.details
    assert isinstance(details, dict)
    assert (entry.author, details.get("claimed")) == (author, claimed)
    assert in_history == shown
    assert f"by {shown}" in client.get("/").text


def test_an_announced_change_is_that_of_the_user_who_announced_it(recorded: State) -> None:
    client = TestClient(build(recorded), base_url=LOCAL)
    text = recorded.reloader.path.read_text()
    preview = client.post("/api/v1/weights", json={**WEIGHT, "preview": True}, headers=bearer("ada"))
    wanted = {"hash": preview.json()["hash"]}
    said = client.post("/api/v1/announce", json=wanted, headers=bearer("ada", **{"x-author": "eve"}))
    recorded.reloader.path.write_text(text.replace("12.5", "50"))
    asyncio.run(recorded.reloader.reload("file changed"))
    entry, _ = audited(recorded, said)
    assert entry.author == "ada"


def test_a_user_who_is_taken_out_of_the_file_is_shut_out_by_the_reload(
    client: TestClient, state: State
) -> None:
    text = state.reloader.path.read_text()
    state.reloader.path.write_text(text.replace("    - {name: ada, token: ada-token, role: operator}\n", ""))
    assert client.post("/api/v1/reload", headers=bearer("ada")).status_code == 200
    assert client.post("/api/v1/reload", headers=bearer("ada")).status_code == 401
    assert client.get("/api/v1/me", headers=bearer("eve")).status_code == 200


def test_a_port_that_others_reach_is_not_opened_by_a_file_for_another_address(
    make_state: MakeState,
) -> None:
    state = make_state(admin="0.0.0.0:9000", token="s3cret")
    client = TestClient(build(state), base_url=LOCAL)
    text = state.reloader.path.read_text().replace("0.0.0.0:9000", "127.0.0.1:9000")
    state.reloader.path.write_text(text.replace('admin_token: "s3cret"', 'admin_token: ""'))
    right = {"authorization": "Bearer s3cret"}
    assert client.post("/api/v1/reload", headers=right).status_code == 200
    assert client.post("/api/v1/reload").status_code == 401
    assert client.get(SAMPLES).status_code == 401
    assert client.post("/api/v1/reload", headers=right).status_code == 200


def test_no_token_is_to_be_read_anywhere(client: TestClient) -> None:
    for path in ("/", "/differences", "/api/v1/config", "/api/v1/endpoints", "/api/v1/audit", "/metrics"):
        fields = re.compile('id="(editor|act)-token"')  # to be filled in
        assert "-token" not in fields.sub("", client.get(path).text)


def test_a_settled_write_is_that_of_the_user_who_settled_it(recorded: State) -> None:
    url = recorded.reloader.started.server.state

    lose_a_write(url)
    client = TestClient(build(recorded), base_url=LOCAL)
    path, body = "/api/v1/writes/lost/settle", {"as": "done", "reason": "seen"}
    assert client.post(path, json=body, headers=bearer("eve")).status_code == 403
    answer = client.post(path, json=body, headers=bearer("ada", **{"x-author": "bob"}))
    assert answer.status_code == 200
    assert recorded.recorder is not None
    asyncio.run(recorded.recorder._flush())
    (settled,) = [each for each in recorded.audit() if each.action == "settle"]
    assert (settled.author, settled.details["claimed"]) == ("ada", "bob")
