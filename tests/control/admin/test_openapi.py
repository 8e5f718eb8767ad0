"""openapi.yaml is what the admin port does: its routes, its requests and its answers, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31
from starlette.routing import BaseRoute, Mount, Route
from starlette.testclient import TestClient

from proxy import __version__
from proxy.control.admin import api, differences, rollouts, writes
from proxy.control.admin.app import build
from proxy.control.admin.openapi import PATH, document
from proxy.control.forgetting import Request as ForgetRequest
from proxy.control.reload import load
from proxy.control.state import State
from tests import plain
from tests.control.admin import described, planted
from tests.control.admin.described import PAGES, Node
from tests.control.site import Site
from tests.support.waiting import eventually
from tests.support.writes import lose_a_write

BODIES = {
    "WeightChange": api.WeightChange,
    "Announcement": api.Announcement,
    "Settlement": writes.Settlement,
    "Forget": ForgetRequest,
    "RolloutAction": rollouts.RolloutAction,
    "FreezeRequest": rollouts.FreezeRequest,
    "OneOffRequest": differences.OneOffBody,
    "Acceptance": differences.AcceptBody,
}


def routed(routes: list[BaseRoute]) -> set[tuple[str, str]]:
    """Method and path of every route, as OpenAPI writes them; a mount takes any method."""
    found = set()
    for route in routes:
        assert isinstance(route, Route | Mount), route
        methods = route.methods or set() if isinstance(route, Route) else {"GET"}
        found |= {(method, route.path.replace(":path}", "}")) for method in methods if method != "HEAD"}
    return found


def test_every_route_is_described_and_no_other(state: State) -> None:
    found = routed(build(state).routes)
    assert {path for _, path in found} >= set(PAGES)
    assert {pair for pair in found if pair[1] not in PAGES} == set(described.operations())


def test_it_is_an_openapi_document() -> None:
    assert [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(document())] == []
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(document())
    components = document()["components"]
    for kind in ("schemas", "responses", "parameters"):
        for name in components[kind]:
            assert f'"#/components/{kind}/{name}"' in text, f"{name} is used nowhere"
    nodes: list[Any] = [document()]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict) and "$ref" in node:
            assert described.resolved(node)
        nodes += node.values() if isinstance(node, dict) else node if isinstance(node, list) else []


@pytest.mark.parametrize(("name", "struct"), BODIES.items())
def test_bodies_of_requests_are_what_the_code_takes(name: str, struct: type[msgspec.Struct]) -> None:
    schema = document()["components"]["schemas"][name]
    fields = msgspec.structs.fields(struct)
    assert set(schema["properties"]) == {each.encode_name for each in fields}
    assert set(schema.get("required", ())) == {each.encode_name for each in fields if each.required}


def test_parameters_of_paths_are_described() -> None:
    for (_, path), operation in described.operations().items():
        given = [described.resolved(each) for each in operation.get("parameters", [])]
        assert {each["name"] for each in given if each["in"] == "path"} == set(parts(path))


def parts(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def test_it_is_served(client: TestClient) -> None:
    answer = client.get(PATH)
    assert answer.json() == document()
    assert answer.json()["info"]["version"] == __version__


@dataclass
class Made:
    """An answer that nobody gave."""

    text: str
    status_code: int = 200
    headers: Node = field(default_factory=lambda: {"content-type": "application/json"})


ME = {"name": None, "role": "operator"}


@pytest.mark.parametrize(
    "wrong",
    [
        Made(json.dumps({**ME, "more": 1})),
        Made(json.dumps({"name": None})),
        Made(json.dumps({**ME, "role": "guest"})),
        Made(json.dumps(ME), 201),
        Made(json.dumps(ME), 200, {"content-type": "text/html"}),
        Made(json.dumps({"status": 404}), 404, {"content-type": "application/problem+json"}),
    ],
)
def test_what_is_not_described_is_found(wrong: Made) -> None:
    assert described.faults("GET", "/api/v1/me", b"", Made(json.dumps(ME))) == []
    assert described.faults("GET", "/api/v1/me", b"", wrong)


def test_an_accepted_body_that_is_not_described_is_found() -> None:
    def post(body: Node) -> list[str]:
        return described.faults("POST", "/api/v1/announce", json.dumps(body).encode(), Made("{}"))

    assert post({"hash": "x"}) == []
    assert post({"hash": "x", "more": 1})


def test_every_answer_of_these_tests_is_held_against_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of an error, and of a body that was sent: the fixture `as_described` is at work."""
    seen = []
    monkeypatch.setattr(described, "faults", lambda *of: seen.append((of[0], of[2], of[3].status_code)) or [])
    client.get("/api/v1/config")
    client.get("/api/v1/writes?limit=x")
    client.post("/api/v1/announce", json={"hash": "x"})
    assert seen == [("GET", b"", 200), ("GET", b"", 400), ("POST", b'{"hash":"x"}', 200)]


NAME = "GET /a"
ROLLOUT = "GET /r"
IN_ROLLOUT = """\
  GET /r: {rollout: careful}
rollouts: {careful: {steps: [0, 100], advance: {parity: off}}}
"""
ASKED: list[tuple[str, str, Node | None, int]] = [
    ("GET", "/healthz", None, 200),
    ("GET", "/readyz", None, 200),
    ("GET", "/metrics", None, 200),
    ("GET", PATH, None, 200),
    ("GET", "/api/v1/config", None, 200),
    ("GET", "/api/v1/endpoints", None, 200),
    ("GET", "/api/v1/history", None, 200),
    ("GET", "/api/v1/audit", None, 200),
    ("GET", "/api/v1/ledger", None, 200),
    ("GET", "/api/v1/me", None, 200),
    ("GET", "/api/v1/writes", None, 200),
    ("GET", "/api/v1/writes?limit=x", None, 400),
    ("GET", "/api/v1/comparisons", None, 200),
    ("GET", f"/api/v1/comparisons/{NAME}/fields", None, 200),
    ("GET", f"/api/v1/comparisons/{NAME}/fields?format=csv", None, 200),
    ("GET", f"/api/v1/comparisons/{NAME}/samples", None, 200),
    ("GET", "/api/v1/comparisons/GET /gone/samples", None, 404),
    ("POST", "/api/v1/weights", {"endpoint": NAME, "weight": 5, "preview": True}, 200),
    ("POST", "/api/v1/weights", {"endpoint": NAME, "weight": 5, "hash": "old"}, 409),
    ("POST", "/api/v1/weights", {"endpoint": NAME, "weight": 500}, 422),
    ("POST", "/api/v1/weights", {"endpoint": NAME, "weight": 5}, 200),
    ("POST", "/api/v1/announce", {"hash": "abc"}, 200),
    ("POST", "/api/v1/reload", None, 200),
    ("POST", "/api/v1/writes/lost/settle", {"as": "done", "reason": "seen"}, 200),
    ("POST", "/api/v1/writes/lost/settle", {"as": "done", "reason": "seen"}, 409),
    ("POST", "/api/v1/forget", {"principal": "ada", "dry_run": True}, 200),
    ("POST", "/api/v1/forget", {"principal": "ada", "path": "/a"}, 422),
    (
        "POST",
        "/api/v1/comparisons/accept",
        {"endpoint": NAME, "kind": "ignore", "path": "id", "reason": "agreed", "preview": True},
        200,
    ),
    ("POST", "/api/v1/compare", {"method": "POST", "path": "/a"}, 422),
    ("POST", "/api/v1/compare", {"method": "GET", "path": "/a"}, 502),
    ("GET", "/api/v1/rollouts", None, 200),
    ("POST", "/api/v1/rollouts/pause", {"endpoint": ROLLOUT, "reason": "lunch"}, 200),
    ("POST", "/api/v1/rollouts/pause", {"endpoint": ROLLOUT}, 409),
    ("POST", "/api/v1/rollouts/pause", {"endpoint": NAME}, 404),
    ("POST", "/api/v1/rollouts/pause", {"endpoints": ROLLOUT}, 400),
    ("GET", "/api/v1/rollouts/history", None, 200),
    ("GET", "/api/v1/rollouts/history?limit=x", None, 400),
    ("GET", f"/api/v1/rollouts/plan?endpoint={ROLLOUT}", None, 200),
    ("GET", "/api/v1/rollouts/plan", None, 400),
    ("GET", f"/api/v1/rollouts/plan?endpoint={NAME}", None, 404),
    ("POST", "/api/v1/rollouts/freeze", {"reason": "holidays"}, 200),
    ("POST", "/api/v1/rollouts/freeze", {"reason": "holidays"}, 409),
    ("POST", "/api/v1/rollouts/freeze", {"reason": " "}, 400),
    ("GET", "/api/v1/rollouts", None, 200),
    ("POST", "/api/v1/rollouts/unfreeze", {"reason": "back"}, 200),
    ("POST", "/api/v1/restart", None, 202),
]


@pytest.fixture
def running(site: Site) -> Site:
    """A control process with two workers, some evidence, and a write whose outcome is unknown."""
    site.extra = "  admin_write: true"
    site.write(weight=0)
    site.config.write_text(site.config.read_text() + IN_ROLLOUT)
    site.up()
    eventually(lambda: site.get("/api/v1/audit").json()["entries"], "the start is recorded")
    return site


def test_a_running_instance_answers_as_described(running: Site) -> None:
    snapshot = load(running.config.read_bytes(), str(running.config)).snapshot
    lose_a_write(snapshot.server.state)
    scope = planted.scope_of(snapshot, NAME)
    samples = [planted.sample(scope, 1)]
    planted.plant(snapshot.server.state, [planted.differing(scope)], planted.traffic(NAME), samples)
    wrong = []
    with plain.client(timeout=30, base_url=f"http://127.0.0.1:{running.admin}") as client:
        with client.stream("GET", "/events") as events:
            wrong += described.faults("GET", "/events", b"", events)
        for method, path, body, status in ASKED:
            answer = client.request(method, path, json=body)
            if answer.status_code != status:
                wrong.append(f"{method} {path} answers {answer.status_code}, not {status}: {answer.text}")
            sent = b"" if body is None else json.dumps(body).encode()
            wrong += described.faults(method, path, sent, answer)
    assert wrong == []


def test_each_operation_is_asked_for() -> None:
    streaming = {("GET", "/events")}  # asked for apart
    asked = {
        next(key for key, node in described.operations().items() if node is described.operation(method, path))
        for method, path, _, _ in ASKED
    }
    assert asked == set(described.operations()) - streaming
