"""Backends' ends of connections: they take requests and answer as the machine says, or not at all."""

from __future__ import annotations

from typing import Any, Final, Literal

from tests.edge.model.invariants import Invariants
from tests.edge.model.loop import FakeLoop
from tests.edge.model.transports import FakeTransport
from tests.edge.model.wire import Message, Reader

Shape = Literal["whole", "halves", "held", "chunked", "interim", "last", "large"]
SHAPES: Final[tuple[Shape, ...]] = ("whole", "halves", "held", "chunked", "interim", "last", "large")
LARGE: Final = 500  # nonces: over what the store takes
STATUSES: Final = (201, 200, 409, 429, 500)

PORTS: Final = {1: "legacy", 2: "async", 3: "async"}


class Upstream(FakeTransport):
    """`request` is what it works at; `pieces` are what is left of its answer."""

    def __init__(self, loop: FakeLoop, invariants: Invariants, port: int) -> None:
        super().__init__(loop)
        self.backend = PORTS[port]
        self.connection: Any = None  # the proxy's; its transport's protocol changes with an upgrade
        self.request: Message | None = None
        self.pieces: list[bytes] = []
        self._answer = 0
        self._switched = False
        self._invariants = invariants
        self._reader = Reader()
        self._known: Message | None = None

    def on_written(self, data: bytes) -> None:
        messages = self._reader.feed(data)
        for message in [*messages, *([self._reader.current] if self._reader.current else [])]:
            if message is not self._known:
                self._known = message
                self._begun(message)

    def _begun(self, message: Message) -> None:
        if self.request is not None:
            self._invariants.wrong("two at once", f"requests on a connection to {self.backend}")
        self.request = message
        if message.text(b"x-nonce"):
            self._invariants.sent(message.text(b"x-nonce"), self.backend)

    @property
    def busy(self) -> bool:
        return self.request is not None and not self.closing

    def answer(self, status: int, shape: Shape) -> None:
        """Begin an answer, which `whole` also ends."""
        assert self.request is not None
        nonce = self.request.fields.get(b"x-nonce", b"probe")
        self._answer = status
        if b"upgrade" in self.request.fields and status < 400:
            self._switched = True
            fields = b"connection: upgrade\r\nupgrade: websocket\r\nx-nonce: %b\r\n\r\n" % nonce
            self.pieces = [b"HTTP/1.1 101 Switching\r\n" + fields + nonce, nonce]
        else:
            self.pieces = answer(status, nonce, shape)
        self.go_on()

    def go_on(self) -> None:
        piece = self.pieces.pop(0)
        request = self.request
        if not self.pieces and request is not None:
            self._invariants.executed(request.text(b"x-nonce"), self._answer)
            self.request = None
        self.send(piece)

    def babble(self) -> None:
        """Something that nobody asked for."""
        if self.request is None and not self._switched:
            self.send(answer(200, b"nobody", "whole")[0])


def answer(status: int, nonce: bytes, shape: Shape) -> list[bytes]:
    """An answer in pieces, each of which the proxy reads at once."""
    line = b"HTTP/1.1 %d Status\r\nx-nonce: %b\r\n" % (status, nonce)
    if shape == "chunked":
        chunk = b"%x\r\n%b\r\n" % (len(nonce), nonce)
        return [line + b"transfer-encoding: chunked\r\n\r\n" + chunk, chunk, b"0\r\n\r\n"]
    if shape == "large":
        half = nonce * LARGE
        return [line + b"content-length: %d\r\n\r\n" % (2 * len(half)), half, half]
    head = line + b"content-length: %d\r\n" % (2 * len(nonce))
    if shape == "last":
        return [head + b"connection: close\r\n\r\n" + nonce * 2]
    head += b"\r\n"
    if shape == "halves":
        return [head + nonce, nonce]
    if shape == "held":
        return [head, nonce, nonce]
    if shape == "interim":
        return [b"HTTP/1.1 103 Early\r\nx-nonce: %b\r\n\r\n" % nonce, head + nonce * 2]
    return [head + nonce * 2]
