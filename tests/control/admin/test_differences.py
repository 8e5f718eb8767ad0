"""GET /api/v1/comparisons and what is below it, POST /api/v1/compare, and the verdict beside the weight."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from proxy.compare.one_off import one_off
from proxy.control.admin.app import build
from proxy.control.admin.differences import AT_ONCE
from proxy.control.reload import Change
from proxy.control.state import State
from proxy.core.comparison.comparisons import Side
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.one_off import NotCompared, OneOff
from proxy.core.routing.snapshot import Snapshot
from tests.compare.backends import Reply, backend
from tests.control.admin import planted
from tests.control.conftest import LOCAL, MakeState

NAME = "GET /a/{id}"


def plant(state: State) -> TestClient:
    """A fault, noise and gaps in GET /a/{id}; evidence of an older version besides."""
    snapshot = state.reloader.running.snapshot
    scope, older = planted.scope_of(snapshot, NAME), planted.scope_of(snapshot, NAME, "1.9")
    tallies = [planted.differing(scope), planted.equal(older, ago=90_000)]
    samples = [planted.sample(scope, number) for number in range(3)]
    planted.plant(snapshot.server.state, tallies, planted.traffic(NAME), samples)
    return TestClient(build(state), base_url=LOCAL, raise_server_exceptions=False)


def test_without_any_comparison_there_is_no_evidence_and_no_database_is_made(
    client: TestClient, state: State
) -> None:
    first, second = client.get("/api/v1/comparisons").json()["endpoints"]
    assert (first["endpoint"], first["verdict"], first["n"], first["bound"]) == (NAME, "no evidence", 0, 1.0)
    assert second["endpoint"] == "POST /b"
    assert client.get(f"/api/v1/comparisons/{NAME}/fields").json()["fields"] == []
    assert client.get(f"/api/v1/comparisons/{NAME}/samples").json()["samples"] == []
    assert not list(state.reloader.path.parent.glob("*.comparisons.db"))


def test_an_endpoint_has_its_verdict_and_what_it_rests_on(state: State) -> None:
    found, _ = plant(state).get("/api/v1/comparisons").json()["endpoints"]
    assert {key: found[key] for key in ("verdict", "n", "m", "k", "faults", "earlier", "skipped")} == {
        "verdict": "differs",
        "n": 4321,
        "m": 2000,
        "k": 37,
        "faults": 1,
        "earlier": 1,
        "skipped": {"rate": 12},
    }
    assert 37 / 4321 < found["bound"] < 0.02
    assert [each["path"] for each in found["noise"]] == ["updated_at"]
    evidence = found["evidence"]
    assert evidence["versions"] == {"legacy": "1.4.0", "async": "2.0.1"}
    assert evidence["unseen_statuses"] == ["410"]
    assert evidence["rare_fields"] == [{"path": "nickname", "count": 4}]
    assert evidence["latency"]["async"]["p50_ms"] < evidence["latency"]["legacy"]["p50_ms"]


def test_the_verdict_stands_beside_the_weight(state: State) -> None:
    first, second = plant(state).get("/api/v1/endpoints").json()["endpoints"]
    assert (first["weight"], first["comparison"]["text"]) == (12.5, "differs")
    assert second["comparison"] == {
        "verdict": "no evidence",
        "text": "no evidence",
        "n": 0,
        "m": 0,
        "k": 0,
        "bound": 1.0,
        "parity": 0.02,
        "missing": 178,
        "units": 0,
        "fields": 0,
        "hiding": 0,
        "unanswered": 0,
        "once": 0,
        "undecided": 0,
    }


def test_a_preview_of_a_weight_says_the_verdict(make_state: MakeState) -> None:
    client = plant(make_state(write="true"))
    body = {"endpoint": NAME, "weight": 50, "preview": True}
    assert client.post("/api/v1/weights", json=body).json()["comparison"]["verdict"] == "differs"


def test_fields_come_most_significant_first_and_other_versions_can_be_asked_for(state: State) -> None:
    client = plant(state)
    found = client.get(f"/api/v1/comparisons/{NAME}/fields").json()
    assert [(each["path"], each["verdict"], each["differed"]) for each in found["fields"]] == [
        ("balance.amount", "fault", 37),
        ("updated_at", "noise", 3100),
    ]
    assert found["fields"][0]["first"] < found["fields"][0]["last"]
    now, before = found["scopes"]
    assert (now["current"], before["current"], before["versions"]["async"]) == (True, False, "1.9")
    earlier = client.get(f"/api/v1/comparisons/{NAME}/fields?scope={before['scope']}").json()
    assert (earlier["scope"], earlier["fields"]) == (before["scope"], [])


def test_fields_can_be_taken_into_a_spreadsheet(state: State) -> None:
    snapshot = state.reloader.running.snapshot
    tally = planted.differing(planted.scope_of(snapshot, NAME))
    first = tally.paths[0]._replace(mark=Mark('=cmd("x")'))
    planted.plant(snapshot.server.state, [tally._replace(paths=(first, tally.paths[1]))])
    client = TestClient(build(state), base_url=LOCAL)
    answer = client.get(f"/api/v1/comparisons/{NAME}/fields?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    names, fault, noise = csv.reader(answer.text.splitlines())
    assert (names[0], fault[:4], noise[0]) == (
        "path",
        ['\'=cmd("x")', "False", "fault", "37"],
        "updated_at",
    )
    assert client.get(f"/api/v1/comparisons/{NAME}/fields?format=xls").status_code == 400


def test_samples_are_those_of_a_field_newest_first(state: State) -> None:
    client = plant(state)
    url = f"/api/v1/comparisons/{NAME}/samples"
    samples = client.get(url, params={"path": planted.FAULT, "limit": 2}).json()["samples"]
    assert [each["id"] for each in samples] == ["s0", "s1"]
    assert samples[0]["differences"][1] == {
        "path": planted.FAULT,
        "kind": "value",
        "legacy": '"1250.10"',
        "async": '"1250.1"',
    }
    assert (samples[0]["legacy"]["status"], samples[0]["async"]["ms"]) == (200, 3.1)
    assert client.get(url, params={"path": "id"}).json()["samples"] == []


def test_what_clients_were_answered_is_read_only_with_the_token(make_state: MakeState) -> None:
    client = plant(make_state(token="s3cret"))
    for url in (f"/api/v1/comparisons/{NAME}/samples", f"/differences/samples?endpoint={NAME}"):
        assert client.get(url).status_code == 401
        assert client.head(url).status_code == 401
        assert client.get(url, headers={"authorization": "Bearer s3cret"}).status_code == 200
    assert client.get(f"/api/v1/comparisons/{NAME}/fields").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("GET /nothing/fields", 404),
        (f"{NAME}/fields?scope=0", 404),
        (f"{NAME}/samples?limit=0", 400),
        (f"{NAME}/samples?limit=x", 400),
    ],
)
def test_a_wrong_question_is_refused(state: State, path: str, status: int) -> None:
    answer = plant(state).get(f"/api/v1/comparisons/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_store_that_does_not_answer_is_said_and_the_rest_goes_on(state: State) -> None:
    state.reloader.path.with_name("state.comparisons.db").write_text("this is no database")
    client = TestClient(build(state), base_url=LOCAL)
    assert client.get(f"/api/v1/comparisons/{NAME}/fields").status_code == 503
    found = client.get("/api/v1/comparisons").json()
    assert found["endpoints"] == []
    assert "does not answer" in found["error"]
    assert client.get("/api/v1/endpoints").json()["endpoints"][0]["comparison"]["verdict"] == "no evidence"
    assert client.get("/differences").status_code == 200


# accepting

RULE = {"endpoint": NAME, "kind": "ignore", "path": "balance.amount", "reason": "agreed with QA"}


def accept(client: TestClient, **changes: Any) -> Any:
    headers = {"x-author": "ada"}
    return client.post("/api/v1/comparisons/accept", json={**RULE, **changes}, headers=headers)


def test_accepting_is_off_by_default(client: TestClient, state: State) -> None:
    before = state.reloader.path.read_text()
    assert accept(client).status_code == 403
    assert state.reloader.path.read_text() == before


def test_a_preview_of_a_rule_changes_nothing(make_state: MakeState) -> None:
    state = make_state(write="true")
    client, before = plant(state), state.reloader.path.read_text()
    answer = accept(client, preview=True, hash=state.reloader.running.snapshot.hash).json()
    assert answer["applied"] is False
    assert answer["difference"] == [f"{NAME}: compare.rules none -> ignore balance.amount (agreed with QA)"]
    assert state.reloader.path.read_text() == before


def test_an_accepted_difference_is_a_rule_in_the_file_and_the_evidence_starts_anew(
    make_state: MakeState,
) -> None:
    changes: list[Change] = []
    state = make_state(write="true", record=changes.append)
    client = plant(state)
    answer = accept(client, owner="qa", expires="2099-01-31").json()
    assert answer["applied"] is True
    line = '{ignore: balance.amount, reason: "agreed with QA", owner: qa, expires: 2099-01-31}'
    assert f"compare: {{rules: [{line}]}}" in state.reloader.path.read_text()
    (change,) = changes
    assert (change.author, change.hash) == ("ada", state.reloader.running.snapshot.hash)
    found, _ = client.get("/api/v1/comparisons").json()["endpoints"]
    assert (found["verdict"], found["n"], found["earlier"]) == ("no evidence", 0, 2)
    assert found["rules"][0]["hid"] is None


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"reason": " "}, 400, "reason must not be empty"),
        ({"kind": "hide"}, 422, "unknown key"),
        ({"path": "items[0"}, 422, "is not a path"),
        ({"kind": "time"}, 422, "is required"),
        ({"expires": "tomorrow"}, 422, "tomorrow"),
        ({"endpoint": "GET /nothing"}, 422, "is not listed"),
        ({"reason": "${HOME}"}, 422, "environment variable"),
        ({"hash": "0"}, 409, "has changed since you loaded it"),
        ({"values": "x"}, 400, "the body is not"),
    ],
)
def test_a_rule_that_is_none_is_refused_with_the_reason(
    make_state: MakeState, changes: dict[str, Any], status: int, message: str
) -> None:
    state = make_state(write="true")
    before = state.reloader.path.read_text()
    answer = accept(TestClient(build(state), base_url=LOCAL), **changes)
    assert answer.status_code == status
    assert message in answer.text
    assert state.reloader.path.read_text() == before


# one comparison


def compare(client: TestClient, **changes: Any) -> Any:
    return client.post("/api/v1/compare", json={"method": "GET", "path": "/a/1", **changes})


def test_one_request_is_asked_of_both_backends(state: State) -> None:
    with (
        backend({"/a/1": Reply(b'{"x":1.0}')}) as ours,
        backend({"/a/1": Reply(b'{"x":1}', 200)}) as theirs,
    ):
        path = state.reloader.path
        text = (
            path.read_text().replace("http://127.0.0.1:1", ours.url).replace("http://127.0.0.1:2", theirs.url)
        )
        path.write_text(text)
        asyncio.run(state.reloader.reload("test"))
        client = TestClient(build(replace(state, one_off=one_off)), base_url=LOCAL)
        found = compare(client, headers={"X-User-Id": "ada"}).json()
        refused = compare(client, method="POST")
        html = client.post("/differences/compare", json={"method": "GET", "path": "/a/1"})
    assert (found["endpoint"], found["equal"]) == (NAME, False)
    assert found["differences"] == [{"path": "x", "kind": "type", "legacy": "1.0", "async": "1"}]
    assert (found["legacy"]["body"], found["async"]["status"]) == ('{"x":1.0}', 200)
    assert theirs.requests[0][2]["x-user-id"] == "ada"
    assert (refused.status_code, len(theirs.requests)) == (422, 2)
    assert "only GET, HEAD, OPTIONS, TRACE are asked twice" in refused.json()["detail"]
    assert "1 difference" in html.text


def test_a_body_that_can_not_be_decoded_whole_is_not_called_equal(state: State) -> None:
    async def broken(*_: object) -> OneOff:
        side = Side(200, {}, None, False, 9, 0.001)
        return OneOff(NAME, side, side, (), 0, (), (), "async's body: br is not whole")

    client = TestClient(build(replace(state, one_off=broken)), base_url=LOCAL)
    found = compare(client).json()
    assert (found["equal"], found["not_comparable"]) == (False, "async's body: br is not whole")
    html = client.post("/differences/compare", json={"method": "GET", "path": "/a/1"}).text
    assert "not comparable: async&#39;s body: br is not whole" in html
    assert "</span> equal</strong>" not in html


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"path": "a"}, 422, "begins with /"),
        ({"path": "/a b"}, 422, "request"),
        ({"path": "/€"}, 422, "percent-encode"),
        ({"headers": {"x": "a\r\nhost: evil"}}, 422, "is not allowed in a request head"),
        ({"method": "G T"}, 422, "request"),
        ({"headers": {"content-length": "3"}}, 422, "a request with a body"),
        ({"path": "/a/1"}, 502, "legacy at http://127.0.0.1:1"),
        ({"path": 1}, 400, "the body is not"),
    ],
)
def test_what_is_no_request_or_has_no_answer_is_a_problem(
    state: State, body: dict[str, Any], status: int, message: str
) -> None:
    answer = compare(TestClient(build(replace(state, one_off=one_off)), base_url=LOCAL), **body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert message in answer.json()["detail"]


def test_asking_needs_the_token_and_a_process_that_can(make_state: MakeState) -> None:
    client = TestClient(build(make_state(token="s3cret")), base_url=LOCAL)
    assert compare(client).status_code == 401
    headers = {"authorization": "Bearer s3cret"}
    body = {"method": "GET", "path": "/a/1"}
    assert client.post("/api/v1/compare", json=body, headers=headers).status_code == 503


def test_only_a_few_are_asked_at_once(state: State) -> None:
    asked: list[str] = []

    async def ask(snapshot: Snapshot, method: str, target: str, headers: Mapping[str, str]) -> OneOff:
        asked.append(target)
        if len(asked) == AT_ONCE:
            full.set()
        await enough.wait()
        raise NotCompared(502, "asked")

    async def many() -> list[int]:
        transport = httpx2.ASGITransport(build(replace(state, one_off=ask)))
        async with httpx2.AsyncClient(transport=transport, base_url=LOCAL) as client:
            body = {"method": "GET", "path": "/a"}
            waiting = [asyncio.create_task(client.post("/api/v1/compare", json=body)) for _ in range(AT_ONCE)]
            await full.wait()
            refused = await client.post("/api/v1/compare", json=body)
            enough.set()
            return [refused.status_code, *(answer.status_code for answer in await asyncio.gather(*waiting))]

    full, enough = asyncio.Event(), asyncio.Event()
    assert asyncio.run(many()) == [503, *[502] * AT_ONCE]
