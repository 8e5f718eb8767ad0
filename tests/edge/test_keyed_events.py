"""Keyed writes that are answered by events: relayed as they come, stored if they end within bounds."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.edge.exchange.keyed_write import KeyedWrite
from proxy.store import claims_file
from tests.edge.conftest import Stage
from tests.edge.exchange.test_keyed_write import Bench, closing, request
from tests.edge.harness import WAIT, Wire, eventually

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
FIRST = b"data: 1\n\n"
LAST = b"data: 2\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Events:
    """A backend that sends one event, and what comes behind it when it is told to."""

    def __init__(self, rest: bytes) -> None:
        self._rest = rest
        self.go_on = threading.Event()

    def __call__(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError, OSError):
            wire.request()
            wire.send(HEAD + chunk(FIRST))
            assert self.go_on.wait(WAIT)
            wire.send(self._rest)


@pytest.fixture
def bench(stage: Stage, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(stage, tmp_path)
    with closing(bench):
        yield bench


def begun(bench: Bench) -> Wire:
    """A client that has the first event, of an answer that is not whole yet."""
    client = bench.edge.connect()
    client.send(request())
    assert b"text/event-stream" in client.read_until(b"\r\n\r\n").lower()
    assert client.read_exactly(len(chunk(FIRST))) == chunk(FIRST)
    return client


def test_events_are_relayed_as_they_come_and_the_whole_is_stored(bench: Bench) -> None:
    events = Events(chunk(LAST) + b"0\r\n\r\n")
    bench.start(events)
    with contextlib.closing(begun(bench)) as client:
        assert bench.counted("completed") == 0
        events.go_on.set()
        assert client.read_until(b"0\r\n\r\n") == chunk(LAST) + b"0\r\n\r\n"
        eventually(lambda: bench.counted("completed"))
        client.send(request())  # the connection goes on, and the retry gets the same
        again = client.response("POST")
    assert (again.body, again.header("idempotent-replayed")) == (FIRST + LAST, "true")
    assert len(bench.legacy.requests) == 1


def test_events_that_break_off_are_no_whole_and_the_outcome_is_unknown(bench: Bench) -> None:
    events = Events(b"")
    bench.start(events)
    with contextlib.closing(begun(bench)) as client:
        events.go_on.set()
        with contextlib.suppress(ConnectionResetError):
            assert client.read_all() == b""
    eventually(lambda: bench.claim()["state"] == "unknown")
    assert len(bench.legacy.requests) == 1


def test_events_over_the_bound_go_on_and_the_retry_is_told(bench: Bench) -> None:
    large = b"data: " + b"x" * 200_000 + b"\n\n"
    events = Events(chunk(large) + chunk(LAST) + b"0\r\n\r\n")
    bench.start(events, rest="idempotency: {max_response: 1KiB}")
    with contextlib.closing(begun(bench)) as client:
        events.go_on.set()
        rest = client.read_until(b"0\r\n\r\n")
    assert rest.count(b"x") == 200_000
    assert rest.count(LAST) == 1
    assert bench.post().status == 409


def test_a_client_that_leaves_changes_nothing_for_the_store(bench: Bench) -> None:
    events = Events(chunk(LAST) + b"0\r\n\r\n")
    bench.start(events)
    begun(bench).reset()
    eventually(lambda: bench.edge.call(lambda: not bench.edge.services.clients.items))
    events.go_on.set()
    eventually(lambda: bench.counted("completed"))
    assert bench.post().body == FIRST + LAST


def test_events_without_end_end_with_their_client_once_they_cannot_be_stored(bench: Bench) -> None:
    events = Events(chunk(b"data: " + b"x" * 200_000 + b"\n\n"))
    bench.start(events, rest="idempotency: {max_response: 1KiB}")
    begun(bench).reset()
    eventually(lambda: bench.edge.call(lambda: not bench.edge.services.clients.items))
    events.go_on.set()
    eventually(lambda: bench.counted("too_large"))
    eventually(lambda: bench.edge.call(lambda: not bench.edge.services.writes.under_way))


def test_events_that_give_way_to_others_leave_the_key_unknown_at_once(bench: Bench) -> None:
    events = Events(b"")
    bench.start(events)
    with contextlib.closing(begun(bench)) as client:
        give_way(bench)
        assert client.is_reset()
        assert bench.counted("unknown") == 1
        eventually(lambda: bench.claim()["state"] == "unknown")
        events.go_on.set()
    assert len(bench.legacy.requests) == 1


def test_events_that_give_way_while_the_store_is_told_end_once(bench: Bench) -> None:
    """The store is locked, so what was over the bound is not stored before the exchange has ended."""
    events = Events(chunk(b"data: " + b"x" * 200_000 + b"\n\n"))
    bench.start(events, rest="idempotency: {max_response: 1KiB}")
    with contextlib.closing(begun(bench)) as client:
        with contextlib.closing(sqlite3.connect(claims_file(bench.state), isolation_level=None)) as locker:
            locker.execute("BEGIN IMMEDIATE")
            events.go_on.set()
            eventually(lambda: bench.edge.call(lambda: under_way(bench)._answer.held.too_large))
            give_way(bench)
            client.close()
            locker.execute("ROLLBACK")
        eventually(lambda: bench.claim()["note"] == "too_large")
        eventually(lambda: bench.edge.call(lambda: not bench.edge.services.writes._tasks))
    assert (bench.counted("unknown"), bench.counted("unstored"), bench.counted("too_large")) == (0, 0, 1)
    assert bench.post().status == 409


def under_way(bench: Bench) -> KeyedWrite:
    [write] = bench.edge.services.writes.under_way
    return write


def give_way(bench: Bench) -> None:
    """As the pool has it when others wait for the connection that the client holds up."""
    bench.edge.call(lambda: under_way(bench).exchange.give_way())
