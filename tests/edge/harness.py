"""An edge in a thread, upstreams that misbehave as scripted, and clients that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop

from proxy.config import load_text
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Stats
from proxy.edge.client.accept import Acceptor
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.report import stats
from proxy.edge.services import Services
from tests.support.waiting import eventually as eventually

T = TypeVar("T")
WAIT = 15.0  # seconds that a condition may take before the test fails


class Script:
    """A scripted upstream: `serve(connection, number)` runs in a thread for each accepted connection."""

    def __init__(
        self,
        serve: Callable[[Wire, int], None],
        family: int = socket.AF_INET,
        path: str = "",
        tls: ssl.SSLContext | None = None,
        at: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(path if family == socket.AF_UNIX else at)
        self._listener.listen(512)
        self.url = (
            f"unix:{path}"
            if family == socket.AF_UNIX
            else f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        )
        self.requests: list[bytes] = []  # every head and body that `Wire.request` read
        self.connections = 0
        self._serve = serve
        self._tls = tls
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(WAIT)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._run, args=(sock, self.connections), daemon=True).start()

    def _run(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, EOFError), contextlib.closing(sock):
            sock.settimeout(WAIT)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._serve(Wire(sock, self.requests), number)


class Wire:
    """One end of a raw connection, with just enough HTTP to read whole messages."""

    def __init__(self, sock: socket.socket, requests: list[bytes] | None = None) -> None:
        self.sock = sock
        self.buffer = b""
        self._requests = requests

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_until(self, mark: bytes) -> bytes:
        """Bytes up to and including `mark`; raises EOFError if the peer closes first."""
        while mark not in self.buffer:
            self.more()
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_all(self) -> bytes:
        """Everything until the peer closes."""
        with contextlib.suppress(EOFError):
            while True:
                self.more()
        data, self.buffer = self.buffer, b""
        return data

    def request(self) -> bytes:
        """One whole request, recorded."""
        head = self.read_until(b"\r\n\r\n")
        data = head + self._body(head)
        if self._requests is not None:
            self._requests.append(data)
        return data

    def response(self, method: str = "GET") -> Response:
        """One whole final response."""
        while True:
            head = self.read_until(b"\r\n\r\n")
            status = int(head[9:12])
            if status >= 200:
                break
        if method == "HEAD" or status in (204, 304):
            return Response(status, head, b"")
        if b"content-length" not in head.lower() and b"chunked" not in head.lower():
            return Response(status, head, self.read_all())
        return Response(status, head, self._body(head))

    def is_reset(self) -> bool:
        """Whether the peer ended the connection with a reset rather than an orderly close."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()

    def _body(self, head: bytes) -> bytes:
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if length:
            return self.read_exactly(int(length[1]))
        if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
            body = b""
            while True:
                size = int(self.read_until(b"\r\n").split(b";")[0], 16)
                if not size:
                    while self.read_until(b"\r\n") != b"\r\n":
                        pass
                    return body
                body += self.read_exactly(size)
                assert self.read_exactly(2) == b"\r\n"
        return b""

    def more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed after {self.buffer[-200:]!r}")
        self.buffer += data


class Response:
    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        self.body = body

    def header(self, name: str) -> str | None:
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return None if found is None else found[1].decode("latin-1")

    def headers(self, name: str) -> list[str]:
        found = re.findall(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return [value.decode("latin-1") for value in found]


def answering(response: bytes) -> Callable[[Wire, int], None]:
    """A well-behaved upstream: the same answer to every request, on kept connections."""

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                wire.send(response)

    return serve


def ok(body: bytes = b"ok", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), extra, body)


class Edge:
    """One worker's connections, pools and counters, on uvloop in a thread of their own."""

    def __init__(self, snapshot: Snapshot, samples: str = "") -> None:
        self._samples = samples
        self.expected: dict[tuple[str, str], int] = {}  # violations of the edge's own rules
        self._ready: Future[int] = Future()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(snapshot,), daemon=True)
        self._thread.start()
        self.port = self._ready.result(WAIT)

    def _run(self, snapshot: Snapshot) -> None:
        asyncio.set_event_loop(self._loop)
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self.services = Services(self._loop, snapshot, samples=self._samples)
        self.errors: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.acceptor = Acceptor(
            self._loop,
            listener,
            lambda peer: ClientConnection(self.services, peer),
            lambda: len(self.services.clients.items),
            lambda: self.services.snapshot.server.limits.connections or 10_000,
            lambda: self.services.crowd.leaver(),
        )
        self.acceptor.start()
        self._ready.set_result(listener.getsockname()[1])
        self._loop.run_forever()
        listener.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run in the edge's own thread, where alone its state may be touched."""
        future: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: future.set_result(function()))
        return future.result(WAIT)

    def stats(self) -> Stats:
        """What the worker would tell the control process."""
        return self.call(lambda: stats(self.services))

    def connect(self) -> Wire:
        return Wire(socket.create_connection(("127.0.0.1", self.port), timeout=WAIT))

    def ask(self, data: bytes) -> Response:
        """One request on a connection of its own."""
        wire = self.connect()
        with contextlib.closing(wire):
            wire.send(data)
            return wire.response(data.split(b" ", 1)[0].decode("latin-1"))

    def close(self) -> None:
        self.call(self._abort_all)
        violations = self.call(lambda: dict(self.services.counters.violations))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        assert not self.errors, self.errors
        assert violations == self.expected

    def _abort_all(self) -> None:
        self.acceptor.stop()
        for client in list(self.services.clients.items):
            if isinstance(client, ClientConnection):
                client.abort()


@contextlib.contextmanager
def running(*parts: Edge | Script) -> Iterator[None]:
    try:
        yield
    finally:
        for part in parts:
            part.close()


def snapshot(
    legacy: str | Sequence[str],
    async_: str | Sequence[str] = "http://127.0.0.1:9",
    *,
    endpoints: str = "GET /a: {weight: 0}",
    rest: str = "",
    backend: str = "",
    async_backend: str = "",
) -> Snapshot:
    """A snapshot from YAML; `rest` holds further top-level keys, `backend` further keys of both backends.

    `async_backend` holds further keys of async alone.
    """

    def urls(given: str | Sequence[str]) -> str:
        return f"url: '{given}'" if isinstance(given, str) else f"urls: {list(given)}"

    indented = "\n".join(f"  {line}" for line in endpoints.splitlines())
    more = f", {backend}" if backend else ""
    only = f", {async_backend}" if async_backend else ""
    text = (
        f"backends:\n  legacy: {{{urls(legacy)}{more}}}\n  async: {{{urls(async_)}{more}{only}}}\n"
        f"{rest}\nendpoints:\n{indented}\n"
    )
    return load_text(text, source="test", environ={}).snapshot
