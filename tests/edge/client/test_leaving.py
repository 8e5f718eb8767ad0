"""Clients that close their sending side while their request is under way, and may have left."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from proxy.edge.client.http1 import ClientConnection
from proxy.edge.client.leaving import Leaving
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, eventually, ok

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
BOTH = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.client.leaving.PATIENCE", 0.1)


class Slow:
    """An upstream that answers when it is let to, and notices who hangs up on it."""

    def __init__(self, *before: bytes) -> None:
        self.before = before  # of the answer, sent at once
        self.received = threading.Event()
        self.release = threading.Event()
        self.hung_up = 0

    def __call__(self, wire: Wire, number: int) -> None:
        wire.request()
        for piece in self.before:
            wire.send(piece)
        self.received.set()
        wire.sock.settimeout(0.02)
        while not self.release.is_set():
            try:
                if not wire.sock.recv(1):
                    self.hung_up += 1
                    return
            except TimeoutError:
                continue
            except OSError:
                self.hung_up += 1
                return
        wire.send(ok(b"late"))


def half_closed(edge: Edge, slow: Slow, request: bytes) -> Wire:
    client = edge.connect()
    client.send(request)
    assert slow.received.wait(WAIT)
    client.sock.shutdown(socket.SHUT_WR)
    return client


def test_a_safe_request_is_given_up_when_nothing_came_a_moment_after_the_fin(stage: Stage) -> None:
    slow = Slow()
    edge = stage.edge(stage.upstream(slow).url, endpoints=BOTH)
    with contextlib.closing(half_closed(edge, slow, READ)) as client:
        assert client.read_all() == b""
    eventually(lambda: slow.hung_up == 1, "the upstream is told")
    eventually(lambda: edge.call(lambda: edge.services.pools["legacy"].connections) == 0, "nothing is left")


def test_connections_of_a_backend_come_free_when_clients_leave(stage: Stage) -> None:
    slow = Slow()
    edge = stage.edge(stage.upstream(slow).url, endpoints=BOTH, backend="connections: 2")
    for _ in range(6):  # some of them wait for a connection
        half_closed(edge, slow, READ).close()
    eventually(lambda: edge.call(lambda: len(edge.services.clients.items)) == 0, "all are gone")
    slow.release.set()
    assert edge.ask(WRITE).body == b"late"


@pytest.mark.parametrize(
    ("request_", "rest"), [(WRITE, ""), (READ, "server: {abort_on_eof: false}")], ids=["write", "read, off"]
)
def test_other_requests_are_finished_and_their_answers_delivered(
    stage: Stage, request_: bytes, rest: str
) -> None:
    slow = Slow()
    edge = stage.edge(stage.upstream(slow).url, endpoints=BOTH, rest=rest)
    with contextlib.closing(half_closed(edge, slow, request_)) as client:
        threading.Timer(0.5, slow.release.set).start()
        assert client.read_all().endswith(b"late")
    assert slow.hung_up == 0


def test_an_answer_that_goes_on_is_delivered_whole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks are taken here, after each piece, so that nothing depends on how quick this machine is."""
    monkeypatch.setattr("proxy.edge.client.leaving.PATIENCE", 3600.0)
    piece = threading.Semaphore(0)

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(10):
            wire.send(b"0123456789")
            assert piece.acquire(timeout=WAIT)

    edge = stage.edge(stage.upstream(serve).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"0123456789")
        (connection,) = edge.call(lambda: list(edge.services.clients.items))
        assert isinstance(connection, ClientConnection)
        leaving = edge.call(lambda: Leaving(connection, connection.under_way, connection.give_up))
        for _ in range(9):
            piece.release()
            assert client.read_exactly(10) == b"0123456789"
            edge.call(leaving._look)
            assert not connection.closed
        assert edge.call(lambda: connection.exchange) is None  # that was all of it
        piece.release()


def test_an_answer_that_stands_still_is_given_up_and_not_taken_for_the_whole(stage: Stage) -> None:
    slow = Slow(b"HTTP/1.1 200 OK\r\n\r\npart")
    edge = stage.edge(stage.upstream(slow).url, endpoints=BOTH)
    with contextlib.closing(half_closed(edge, slow, READ)) as client:
        assert client.read_until(b"part")
        assert client.is_reset()
    eventually(lambda: slow.hung_up == 1, "the upstream is told")


@pytest.mark.parametrize("first", [READ, WRITE], ids=["read", "write"])
def test_each_of_several_pipelined_requests_has_its_moment(stage: Stage, first: bytes) -> None:
    slow = Slow()
    served: list[bytes] = []

    def serve(wire: Wire, number: int) -> None:
        served.append(wire.request())
        wire.send(ok(b"first", b"Connection: close\r\n"))

    def either(wire: Wire, number: int) -> None:
        (serve if number == 1 else slow)(wire, number)

    handler: Callable[[Wire, int], None] = either
    edge = stage.edge(stage.upstream(handler).url, endpoints=BOTH)
    with contextlib.closing(half_closed(edge, slow, first + READ)) as client:
        assert client.response().body == b"first"
        assert client.read_all() == b""
    eventually(lambda: slow.hung_up == 1, "the second is given up")
