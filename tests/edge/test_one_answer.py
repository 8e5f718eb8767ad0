"""One answer per exchange: who has given up sends nothing, and nobody gets the answer to another request."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator, MutableSet
from pathlib import Path
from typing import Any

import pytest

from proxy.edge.client.http1 import ClientConnection
from proxy.edge.deadlines import NEVER, Sweeper, Timed
from proxy.edge.exchange.exchange import Exchange
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Script, Wire, answering, eventually, ok, snapshot

TIMEOUTS = "connections: 1, timeouts: {connect: 300ms, response: 300ms}"


def write(nonce: str) -> bytes:
    head = f"POST /x HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {nonce}\r\nContent-Length: {len(nonce)}\r\n\r\n"
    return (head + nonce).encode()


class Echo:
    """Answers with the body of the request, but not before it is let: executions are counted by body."""

    def __init__(self) -> None:
        self.going = threading.Event()
        self.executed: Counter[str] = Counter()

    def __call__(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                nonce = wire.request().rpartition(b"\r\n\r\n")[2]
                self.executed[nonce.decode()] += 1
                self.going.wait(WAIT)
                wire.send(ok(nonce))


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def upstream(stage: Stage, echo: Echo) -> Script:
    return stage.upstream(echo)


@pytest.fixture
def edge(stage: Stage, upstream: Script, tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(
        snapshot(
            upstream.url,
            endpoints="POST /x: {weight: 0}\nGET /x: {weight: 0}",
            rest=f"server: {{state: 'sqlite:///{tmp_path}/state.db'}}",
            backend=TIMEOUTS,
        )
    )
    stage._parts.append(edge)
    yield edge
    asyncio.run_coroutine_threadsafe(edge.services.writes.close(), edge._loop).result(WAIT)


def exchanges(edge: Edge) -> list[Exchange]:
    """Those under way, as their clients know them."""
    clients = [client for client in edge.services.clients.items if isinstance(client, ClientConnection)]
    return [client.exchange for client in clients if client.exchange is not None]


class Item(Timed):
    """Something timed that, when its time is over, gives all others a new deadline."""

    def __init__(self, items: MutableSet[Any] | list[Any]) -> None:
        self.deadline = 0.0
        self.called = 0
        self._items = items

    def on_deadline(self, now: float) -> None:
        self.called += 1
        for item in self._items:
            item.deadline = NEVER


class Leaver(Item):
    """Something timed that ends, and with it all others."""

    def on_deadline(self, now: float) -> None:
        self.called += 1
        self._items.clear()


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        yield Sweeper(loop, WAIT)


@pytest.mark.interpreted
def test_a_deadline_that_was_set_anew_in_the_same_sweep_has_not_passed(sweeper: Sweeper) -> None:
    items: list[Item] = []
    items += [Item(items) for _ in range(20)]
    sweeper.items.update(items)
    sweeper._sweep()
    assert sum(item.called for item in items) == 1


@pytest.mark.interpreted
def test_a_sweep_that_comes_late_lets_what_has_arrived_be_read_first() -> None:
    """After a stop of the process timers run before sockets are read."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        sweeper = Sweeper(loop, -2.0)  # it was due two seconds ago
        item = Item([])
        sweeper.items.add(item)
        sweeper._sweep()
        assert item.called == 0
        sweeper._sweep()  # late once more, as on a machine that is always busy
        assert item.called == 1
        sweeper.stop()


@pytest.mark.interpreted
def test_what_left_in_the_same_sweep_is_not_called(sweeper: Sweeper) -> None:
    items = [Leaver(sweeper.items) for _ in range(20)]
    sweeper.items.update(items)
    sweeper._sweep()
    assert sum(item.called for item in items) == 1


def test_a_keyed_write_that_gives_up_takes_no_connection_while_the_store_is_told(
    edge: Edge, echo: Echo, upstream: Script
) -> None:
    first, second = edge.connect(), edge.connect()
    first.send(write("first"))
    eventually(lambda: echo.executed["first"], "the first is sent")
    second.send(write("second"))
    pool = edge.services.pools["legacy"]
    eventually(lambda: edge.call(lambda: len(pool.waiting)), "the second waits")

    def give_up() -> None:
        """The slot goes to the second, which is given up before its connection is there."""
        sent, waiting = sorted(exchanges(edge), key=lambda exchange: exchange.upstream is None)
        assert sent.upstream is not None
        sent.upstream.on_deadline(edge._loop.time())
        waiting.on_deadline(edge._loop.time())

    edge.call(give_up)
    echo.going.set()
    assert (first.response().status, second.response().status) == (504, 503)
    second.send(write("third"))
    answer = second.response()
    assert (answer.status, answer.body) == (200, b"third")
    assert echo.executed == {"first": 1, "third": 1}


def test_requests_that_time_out_together_are_executed_once_and_get_their_own_answers(
    stage: Stage, edge: Edge, echo: Echo, upstream: Script
) -> None:
    """One connection, and a backend that stalls for longer than all timeouts: each sweep meets both kinds."""
    clients = [edge.connect() for _ in range(5)]
    for attempt in range(6):
        echo.going.clear()
        nonces = [f"{attempt}-{number}" for number in range(len(clients))]
        for client, nonce in zip(clients, nonces, strict=True):
            client.send(write(nonce))
        for client in clients:
            assert client.response().status in (503, 504)
        echo.going.set()
        for client, nonce in zip(clients, nonces, strict=True):
            client.send(write(f"{nonce}-after"))
            assert client.response().body == f"{nonce}-after".encode()
    assert {nonce: count for nonce, count in echo.executed.items() if count > 1} == {}


def test_an_answer_to_a_request_that_is_over_ends_the_connection_and_is_counted(
    edge: Edge, echo: Echo, upstream: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    echo.going.set()
    client = edge.connect()
    client.send(write("one"))
    assert client.response().body == b"one"
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
    (stale,) = eventually(lambda: edge.call(lambda: exchanges(edge)), "a second request is under way")
    connection = stale.client
    assert connection is not None
    edge.call(lambda: stale.refuse(408, "body_timeout", "over"))
    edge.call(lambda: connection.send(stale, ok(b"late")))
    assert re.search(rb"408 .*late", client.read_all(), re.DOTALL) is None
    edge.expected = {("foreign_answer", ""): 1}


def test_a_connection_that_nobody_waits_for_is_not_used(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(answering(ok())).url)
    client = edge.connect()
    client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.response().status == 200
    (idle,) = edge.call(lambda: list(edge.services.pools["legacy"].addresses[0].idle))
    client.send(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
    (reading,) = eventually(lambda: edge.call(lambda: exchanges(edge)), "a body is awaited")
    edge.call(lambda: reading.on_connection(idle))
    assert client.is_reset()
    edge.expected = {("connection_unasked", ""): 1}
