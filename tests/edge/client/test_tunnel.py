"""WebSocket through the edge with a real client and server library."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.edge.conftest import Stage
from tests.edge.harness import Wire, eventually

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
HELLO = b"\x81\x05hello"  # an unmasked text frame
HANDSHAKE = (
    b"GET /a HTTP/1.1\r\nhost: a.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASKED_HI = b"\x81\x82\x00\x00\x00\x00hi"


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.fixture
def backend() -> Iterator[str]:
    """The URL of a WebSocket server that sends back what comes."""
    server: Server
    with serve(echo, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
    thread.join()


def test_messages_of_any_size_come_back(stage: Stage, backend: str) -> None:
    edge = stage.edge(backend)
    with connect(f"ws://127.0.0.1:{edge.port}/a", proxy=None, max_size=None) as client:
        for message in ("one", b"\x00" * 300_000, "three"):
            client.send(message)
            assert client.recv(timeout=10) == message
    eventually(lambda: not edge.services.clients.items, "the tunnel is gone")


def test_what_the_server_sends_right_behind_its_handshake_arrives(stage: Stage) -> None:
    def serve_one(wire: Wire, number: int) -> None:
        key = re.search(rb"sec-websocket-key: *(\S+)", wire.request(), re.IGNORECASE)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        wire.send(head + b"sec-websocket-accept: " + accept + b"\r\n\r\n" + HELLO)
        with contextlib.suppress(EOFError):
            wire.read_until(b"never")

    edge = stage.edge(stage.upstream(serve_one).url)
    with connect(f"ws://127.0.0.1:{edge.port}/a", proxy=None, close_timeout=0.1) as client:
        assert client.recv(timeout=10) == "hello"


def test_what_the_client_sends_right_behind_its_handshake_arrives(stage: Stage, backend: str) -> None:
    edge = stage.edge(backend)
    with contextlib.closing(edge.connect()) as wire:
        wire.send(HANDSHAKE + MASKED_HI)
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert wire.read_exactly(4) == b"\x81\x02hi"


def test_silence_of_both_sides_ends_the_tunnel(stage: Stage, backend: str) -> None:
    edge = stage.edge(backend, backend="timeouts: {idle: 300ms}")
    with connect(f"ws://127.0.0.1:{edge.port}/a", proxy=None, ping_interval=None) as client:
        client.send("one")
        assert client.recv(timeout=10) == "one"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
    assert edge.services.counters.errors["proxy", "tunnel_idle"] == 1


def test_a_client_that_stops_reading_does_not_keep_its_tunnel(stage: Stage) -> None:
    def flood(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        while True:
            wire.send(bytes(65536))

    edge = stage.edge(stage.upstream(flood).url, backend="timeouts: {idle: 300ms}")
    with contextlib.closing(edge.connect()) as wire:
        wire.send(HANDSHAKE)
        wire.read_until(b"\r\n\r\n")
        eventually(lambda: edge.call(lambda: not edge.services.clients.items), "the tunnel is gone")
        assert edge.call(lambda: edge.services.pools["legacy"].connections) == 0
        with contextlib.suppress(ConnectionResetError):
            wire.read_all()  # would time out if the connection were still open
