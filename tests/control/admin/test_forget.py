"""Erasing a person's data by the admin port, and what is said about it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.comparer import ComparerProcess
from proxy.control.hearing import Hearing
from proxy.control.pulse import Pulse
from proxy.control.state import State
from proxy.core.http1.request import parse_request
from proxy.core.privacy.redact import KEY_NAME, Redactor
from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.identity import caller, principals_of
from proxy.core.settings import CREDENTIAL, Limits
from proxy.store import audit, comparisons
from tests.control.admin import planted
from tests.control.conftest import LOCAL, MakeState
from tests.store.test_claims import ANSWER, opened, proceed, wanted

NAME = "GET /a/{id}"
KEY = b"k" * 32


@pytest.fixture
def state(make_state: MakeState) -> State:
    """A store with an answer and two samples of ada, whose token is t0k, and an answer of somebody else."""
    state = make_state()
    url = state.reloader.started.server.state
    asyncio.run(keep_answers(url))
    scope = planted.scope_of(state.reloader.running.snapshot, NAME)
    token = Redactor(KEY, ()).header("authorization", "Bearer t0k")
    samples = [planted.sample(scope, number) for number in range(2)]
    other = planted.sample(scope, 2)._replace(headers=(("authorization", token),))
    planted.plant(url, [planted.differing(scope)], planted.traffic(NAME), [*samples, other])
    return state


async def keep_answers(url: str) -> None:
    async with opened(url) as claims:
        for key, principal in (("k1", ada()), ("k2", "somebody")):
            record = await proceed(claims, replace(wanted(key), principal=principal))
            assert await claims.change(idem.complete(record, ANSWER, time.time()))


def ada() -> str:
    """Her principal, as `idempotency.principal: credential` makes it."""
    head = parse_request(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t0k\r\n\r\n", Limits())
    return caller(head.fields, (CREDENTIAL,)).principal


def forget(client: TestClient, **body: object) -> dict[str, Any]:
    answer = client.post("/api/v1/forget", json=body)
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def entries(state: State) -> list[audit.AuditEntry]:
    async def read() -> list[audit.AuditEntry]:
        async with (
            audit.opened(state.reloader.started.server.state) as engine,
            engine.connect() as connection,
        ):
            return await audit.entries(connection)

    return asyncio.run(read())


def test_a_dry_run_counts_and_erases_nothing(client: TestClient, state: State) -> None:
    for _ in range(2):
        assert forget(client, principal="t0k", dry_run=True) == {"keys": 1, "samples": 0, "left": []}
        assert forget(client, principal="ada", dry_run=True) == {"keys": 0, "samples": 2, "left": []}
    assert entries(state) == []


def test_what_is_erased_is_counted_and_is_in_the_audit_log_without_the_name(
    client: TestClient, state: State
) -> None:
    answer = client.post("/api/v1/forget", json={"principal": "t0k"}, headers={"x-author": "operator"})
    assert answer.json() == {"keys": 1, "samples": 0, "left": []}
    assert forget(client, principal="t0k") == {"keys": 0, "samples": 0, "left": []}
    assert forget(client, path="/a/acc_1") == {"keys": 0, "samples": 3, "left": []}
    found = entries(state)
    assert [(each.author, each.action, each.details) for each in reversed(found)] == [
        ("operator", "forget", {"by": "principal", "keys": 1, "samples": 0}),
        ("", "forget", {"by": "principal", "keys": 0, "samples": 0}),
        ("", "forget", {"by": "path", "keys": 0, "samples": 3}),
    ]
    assert "t0k" not in str(found)
    assert "acc_1" not in str(found)


def test_a_sample_that_shows_only_the_hash_of_a_token_is_found(state: State, tmp_path: Path) -> None:
    (tmp_path / KEY_NAME).write_bytes(KEY)
    (tmp_path / KEY_NAME).chmod(0o600)
    idle = ComparerProcess((), tmp_path, Pulse(Hearing()))
    client = TestClient(build(replace(state, comparer=idle)), base_url=LOCAL)
    assert forget(client, principal="t0k") == {"keys": 1, "samples": 1, "left": []}


def test_the_comparer_forgets_before_the_store_does(state: State) -> None:
    order: list[object] = []

    class Told(ComparerProcess):
        async def forget(self, principal: str, path: str) -> int | None:
            url = state.reloader.started.server.state
            async with comparisons.opened(url) as engine, engine.connect() as connection:
                scope = planted.scope_of(state.reloader.running.snapshot, NAME)
                order.append(len(await comparisons.samples(connection, scope.id)))
            order.append((principal, path))
            return 4 if principal else None

    client = TestClient(
        build(replace(state, comparer=Told((), Path("/nowhere"), Pulse(Hearing())))), base_url=LOCAL
    )
    assert forget(client, principal="ada")["samples"] == 2 + 4
    assert order == [3, ("ada", "")]
    (left,) = forget(client, path="/a/acc_1")["left"]
    assert "comparer does not answer" in left
    assert forget(client, principal="ada", dry_run=True)["samples"] == 0
    assert len(order) == 4


def test_by_the_hash_that_the_list_of_writes_shows(client: TestClient) -> None:
    found = forget(client, principal=ada())
    assert found["keys"] == 1
    assert found["left"] == [
        "samples do not show the hash of a principal: run this with its value, or with --path"
    ]


def test_what_cannot_be_told_by_its_path_is_said(client: TestClient, state: State) -> None:
    async def more() -> None:
        async with opened(state.reloader.started.server.state) as claims:
            request = replace(wanted("k9"), endpoint="POST /b/{id}")
            assert await claims.change(idem.complete(await proceed(claims, request), ANSWER, time.time()))
            await proceed(claims, replace(wanted("k8"), endpoint="POST /b/{id}"))

    asyncio.run(more())
    (left,) = forget(client, path="/b/7")["left"]
    assert left.startswith("1 stored answers of endpoints with parameters may be of this path")
    found = forget(client, path="/b/*")
    assert found["keys"] == 1
    assert found["left"][0].startswith("1 writes have no outcome yet")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, "give one of principal and path"),
        ({"principal": "a", "path": "/a"}, 422, "give one of principal and path"),
        ({"principal": " "}, 422, "the principal is not 1 to 4096 characters"),
        ({"principal": "a" * 5000}, 422, "the principal is not 1 to 4096 characters"),
        ({"path": "s3cret*"}, 422, "the path is not a path that begins with /"),
        ({"path": "/s3cret*"}, 422, "the path is no pattern"),
        ({"name": "s3cret"}, 400, "the body is not"),
        ({"principal": ["s3cret"]}, 400, "the body is not"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    client: TestClient, body: dict[str, object], status: int, detail: str
) -> None:
    answer = client.post("/api/v1/forget", json=body)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert "s3cret" not in answer.text


def test_without_the_store_nothing_is_erased_and_it_is_said(state: State, tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()  # the audit log's
    client = TestClient(build(state), base_url=LOCAL)
    answer = client.post("/api/v1/forget", json={"principal": "t0k"})
    assert answer.status_code == 503
    assert "run this again" in answer.json()["detail"]
    assert forget(client, principal="t0k", dry_run=True)["keys"] == 1


def test_names_are_hashed_as_the_configuration_in_force_says(state: State) -> None:
    assert ada() in principals_of("t0k", state.reloader.running.snapshot.idempotency.principal)
