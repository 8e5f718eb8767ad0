from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bench.headline.parts import Relay
from bench.processes import free_port, spawn, wait_for_port

WAIT = 300.0


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Before a stub that answers at once."""
    directory, port = tmp_path_factory.mktemp("relay"), free_port()
    with ExitStack() as stack:
        argv = [sys.executable, "-m", "bench.hundredk.stub", "--port", str(port)]
        stub = spawn("stub", argv, directory, frozenset({0}))
        stack.callback(stub.stop)
        wait_for_port(stub, port)
        yield Relay(stack, directory, {"stub": str(port)})


def ask(relay: Relay, count: int = 1) -> list[socket.socket]:
    asked = [socket.create_connection(("127.0.0.1", relay.ports["stub"]), 10) for _ in range(count)]
    for sock in asked:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    return asked


def test_answers_wait_side_by_side(relay: Relay) -> None:
    relay.wait(WAIT)
    start = time.monotonic()
    for sock in ask(relay, 40):
        with sock:
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
    took = 1e3 * (time.monotonic() - start)
    assert 0.9 * WAIT < took < 40 * WAIT, "one after the other they would take 40 times as long"


def test_pieces_of_an_answer_keep_their_order_when_the_wait_gets_shorter(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(10)
        relay = Relay(stack, tmp_path, {"test": str(listener.getsockname()[1])})
        relay.wait(WAIT)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", relay.ports["test"]), 10))
        server = stack.enter_context(listener.accept()[0])
        server.settimeout(10)
        client.sendall(b"?")
        assert server.recv(1) == b"?"
        server.sendall(b"first ")
        while not relay.trips():
            pass
        relay.wait(0)
        server.sendall(b"second")
        received = b""
        while len(received) < 12:
            data = client.recv(64)
            assert data
            received += data
        assert received == b"first second"


def test_round_trips_are_counted(relay: Relay) -> None:
    relay.wait(0)
    before = relay.trips()
    [sock] = ask(relay)
    with sock:
        for _ in range(3):
            assert sock.recv(65536)
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(65536)
    assert relay.trips() - before == 4


def test_a_server_that_is_not_there_ends_the_connection(tmp_path: Path) -> None:
    with ExitStack() as stack:
        relay = Relay(stack, tmp_path, {"stub": str(free_port())})
        [sock] = ask(relay)
        with sock, suppress(ConnectionResetError):
            assert sock.recv(1) == b""
