"""What a keyed write does with a claim that is old, was lost, or meets an earlier attempt at its owner."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import pytest

from proxy.core.resilience.idempotency import Record
from proxy.edge.exchange import confirmation
from proxy.edge.exchange.keyed_write import KeyedWrite
from proxy.store import Claims, claims_file
from tests.edge.exchange.test_keyed_write import CREATED, Bench, bench, created_after, request
from tests.edge.harness import Response, Wire, answering, eventually

__all__ = ["bench"]

IN_USE = b"HTTP/1.1 409 Conflict\r\nContent-Length: 6\r\n\r\nin use"


def kind(response: Response) -> str:
    return (response.header("x-proxy-error") or "").partition("kind=")[2]


def execute(bench: Bench, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(claims_file(bench.state), isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim is old when a connection is there."""
    monkeypatch.setattr(confirmation, "OLD", -1.0)


# an old claim


@pytest.mark.interpreted
def test_an_old_claim_that_is_still_held_is_sent(bench: Bench, old: None) -> None:
    bench.start()
    for key in ("one", "two"):  # on a new connection, and on a pooled one
        assert bench.post(key).status == 201
    assert len(bench.legacy.requests) == 2
    assert bench.post("one").header("idempotent-replayed") == "true"


@pytest.mark.interpreted
@pytest.mark.parametrize("taken", ["token = 'settled', state = 'released'", "state = 'unknown'"])
def test_a_claim_that_others_have_taken_is_not_sent(
    bench: Bench, old: None, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    bench.start()
    confirm = KeyedWrite._confirm

    async def late(self: KeyedWrite, *given: object) -> None:
        monkeypatch.setattr(KeyedWrite, "_confirm", confirm)
        execute(bench, f"UPDATE claims SET {taken}")
        await confirm(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(KeyedWrite, "_confirm", late)
    refused = bench.post()
    assert (refused.status, kind(refused)) == (503, "claim_lost")
    assert refused.header("retry-after") == "1"
    assert bench.legacy.requests == []
    eventually(lambda: bench.claim()["state"] == "released")
    assert bench.post().status == 201
    assert len(bench.legacy.requests) == 1


@pytest.mark.interpreted
def test_an_old_claim_that_cannot_be_confirmed_is_not_sent(
    bench: Bench, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start()
    confirm = KeyedWrite._confirm
    locks: list[sqlite3.Connection] = []

    async def locked(self: KeyedWrite, *given: object) -> None:
        monkeypatch.setattr("proxy.store.claims.CLAIM_TIMEOUT", 0.3)  # the claim itself may take its time
        monkeypatch.setattr(KeyedWrite, "_confirm", confirm)
        locker = sqlite3.connect(claims_file(bench.state), isolation_level=None, check_same_thread=False)
        locker.execute("BEGIN IMMEDIATE")
        locks.append(locker)
        await confirm(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(KeyedWrite, "_confirm", locked)
    refused = bench.post()
    assert (refused.status, kind(refused)) == (503, "store_unavailable")
    assert bench.legacy.requests == []
    locks[0].execute("ROLLBACK")
    locks[0].close()
    eventually(lambda: bench.claim()["state"] == "released")


@pytest.mark.interpreted
def test_a_write_that_ended_while_its_claim_was_confirmed_is_released(
    bench: Bench, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start()
    confirm = Claims.confirm

    async def ending(self: Claims, record: Record) -> bool:
        held = await confirm(self, record)
        [write] = bench.edge.services.writes.under_way
        write.exchange.refuse(400, "test", "over")
        return held

    monkeypatch.setattr(Claims, "confirm", ending)
    assert bench.post().status == 400
    eventually(lambda: bench.claim()["state"] == "released")
    assert bench.legacy.requests == []


@pytest.mark.interpreted
def test_a_connection_that_closed_while_the_claim_was_confirmed_is_replaced(
    bench: Bench, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start()
    confirm = KeyedWrite._confirm

    async def closing(self: KeyedWrite, record: object, connection: object) -> None:
        monkeypatch.setattr(KeyedWrite, "_confirm", confirm)
        connection.transport.abort()  # type: ignore[attr-defined]
        await confirm(self, record, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(KeyedWrite, "_confirm", closing)
    assert bench.post().status == 201
    assert len(bench.legacy.requests) == 1


@pytest.mark.interpreted
@pytest.mark.parametrize(("late", "status", "asked"), [(1, 201, 2), (3, 503, 3)])
def test_a_confirmation_that_came_while_the_worker_stood_still_is_asked_for_again(
    bench: Bench, old: None, monkeypatch: pytest.MonkeyPatch, late: int, status: int, asked: int
) -> None:
    """The clock makes a leap behind each of the first `late` questions."""
    bench.start()
    questions: list[float] = []
    leaps = 0.0
    elapsed, confirm = confirmation.elapsed, Claims.confirm

    async def confirming(self: Claims, record: Record) -> bool:
        nonlocal leaps
        questions.append(elapsed())
        held = await confirm(self, record)
        leaps += 60.0 if len(questions) <= late else 0.0
        return held

    monkeypatch.setattr(confirmation, "elapsed", lambda: elapsed() + leaps)
    monkeypatch.setattr(Claims, "confirm", confirming)
    assert bench.post().status == status
    assert len(questions) == asked
    assert len(bench.legacy.requests) == (status == 201)


def test_a_young_claim_is_not_confirmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.start()
    assert bench.post("first").status == 201
    asked: list[object] = []
    claims = bench.edge.services.writes.claims()
    monkeypatch.setattr(claims, "confirm", asked.append)
    assert bench.post().status == 201
    assert asked == []


def test_what_is_under_way_is_named_to_the_store(bench: Bench) -> None:
    gate = threading.Event()
    bench.start(created_after(gate))
    client = bench.edge.connect()
    client.send(request())
    eventually(lambda: bench.legacy.requests)
    claims = bench.edge.services.writes.claims()

    def held() -> set[str]:
        assert claims._held is not None
        return set(claims._held())

    assert bench.edge.call(held) == {bench.claim()["token"]}
    gate.set()
    eventually(lambda: not bench.edge.call(held))


# an earlier attempt at the owner


def lost_then(answer: bytes, bench: Bench, *, first: bytes = b"", rest: str = "", endpoint: str = "") -> None:
    def script(wire: Wire, number: int) -> None:
        wire.request()
        if number == 1 and not first:
            wire.reset()
        else:
            wire.send(first if number == 1 else answer if number == 2 else CREATED)

    bench.start(script, backend="idempotent: true", rest=rest, endpoint=endpoint)


FAILED = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("status", [408, 409, 421, 423, 425])
@pytest.mark.parametrize("first", [b"", FAILED])
def test_an_owner_that_still_runs_the_first_try_is_not_the_answer(
    bench: Bench, status: int, first: bytes
) -> None:
    lost_then(IN_USE.replace(b"409", b"%d" % status), bench, first=first)
    assert bench.post().status in (502, 503)
    second = bench.post()
    assert (second.status, kind(second)) == (409, "idempotency_in_flight")
    assert second.header("retry-after") == "1"
    assert b"in use" not in second.body
    assert bench.claim()["state"] == "unknown"
    third = bench.post()
    assert (third.status, third.body) == (201, b"done")
    assert bench.post().header("idempotent-replayed") == "true"
    assert len(bench.legacy.requests) == 3


def test_an_in_use_answer_beyond_what_may_be_stored_is_not_the_answer_either(bench: Bench) -> None:
    long = IN_USE.replace(b"6", b"6000") + b"x" * 5994
    lost_then(long, bench, rest="idempotency: {max_response: 1KiB}")
    assert bench.post().status == 502
    assert kind(bench.post()) == "idempotency_in_flight"
    assert bench.claim()["state"] == "unknown"
    assert bench.post().status == 201


def test_where_keys_are_only_recorded_the_backends_own_answer_is_relayed(bench: Bench) -> None:
    lost_then(IN_USE, bench, endpoint=", idempotency: record")
    assert bench.post().status == 502
    assert bench.post().body == b"in use"
    assert bench.claim()["state"] == "unknown"


def test_a_conflict_on_the_first_try_is_the_answer(bench: Bench) -> None:
    bench.start(answering(IN_USE), backend="idempotent: true")
    assert bench.post().status == 409
    assert bench.post().header("idempotent-replayed") == "true"
    assert len(bench.legacy.requests) == 1


# keys that never left


def test_a_key_that_never_left_follows_a_rollback(bench: Bench) -> None:
    bench.start(weight=100, async_url="http://127.0.0.1:9")
    assert bench.post().status == 502
    bench.set_weight(0)
    assert bench.post().status == 201
    assert len(bench.legacy.requests) == 1


def test_one_that_left_and_was_released_does_not(bench: Bench) -> None:
    bench.start(async_=answering(FAILED), weight=100, backend="idempotent: true")
    assert bench.post().status == 503
    bench.set_weight(0)
    assert bench.post().status == 503
    assert (len(bench.async_.requests), bench.legacy.requests) == (2, [])
