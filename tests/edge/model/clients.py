"""Clients that pipeline, leave and stall, and read every answer that they get."""

from __future__ import annotations

from typing import Final

from tests.edge.model.invariants import Invariants, Request
from tests.edge.model.loop import FakeLoop
from tests.edge.model.transports import FakeTransport
from tests.edge.model.wire import Reader

PIPELINED: Final = 3
BODY: Final = "pay" * 8  # over what is read before a connection is taken, if it comes in two halves


class Client(FakeTransport):
    """A client's connection: what the proxy writes are answers to `asked`, the first of them first."""

    def __init__(self, loop: FakeLoop, invariants: Invariants, name: str) -> None:
        super().__init__(loop)
        self.asked: list[Request] = []
        self.name = name
        self._invariants = invariants
        self._reader = Reader()
        self._rest = b""  # of a request of which a part was sent
        self._tunnel = b""  # the nonce that everything in it repeats

    def ask(self, request: Request, cut: bool) -> None:
        """Send it, or only half of it."""
        self.go_on()
        self._invariants.asked(request)
        self.asked.append(request)
        data = written(request)
        end = len(data) - len(BODY) // 2 if request.is_write else len(data) // 2
        self._rest = data[end:] if cut else b""
        self.send(data[:end] if cut else data)

    def go_on(self) -> None:
        """Send what is left of a request."""
        rest, self._rest = self._rest, b""
        if rest:
            self.send(rest)

    def leave(self) -> None:
        self.lose(ConnectionResetError())

    @property
    def hesitates(self) -> bool:
        return bool(self._rest) and not self.closing

    @property
    def waits(self) -> bool:
        """Whether an answer is still due."""
        return bool(self.asked) and not self.closing

    @property
    def is_open(self) -> bool:
        """Whether it may ask for more."""
        return not (self.closing or self.ended or self._tunnel)

    @property
    def is_patient(self) -> bool:
        """What would follow an upgrade is not HTTP any more."""
        return len(self.asked) < PIPELINED and not (self.asked and self.asked[-1].upgrade)

    def on_written(self, data: bytes) -> None:
        try:
            self._read(data)
        except ValueError:
            self._invariants.wrong("mixed answer", f"{self.name} cannot read on at {data[:80]!r}")

    def _read(self, data: bytes) -> None:
        if self._tunnel:
            self._invariants.tunnelled(self._tunnel, data, self.name)
            return
        reader = self._reader
        for message in reader.feed(data):
            self._invariants.answer(self.asked, message, self.name)
            if message.status >= 200 and self.asked:
                self.asked.pop(0)
            elif message.status == 101 and self.asked:
                self._tunnel = self.asked.pop(0).nonce.encode()
                self._invariants.tunnelled(self._tunnel, reader.rest(), self.name)
                return
        if reader.current is not None:
            self._invariants.answer(self.asked, reader.current, self.name)


def written(request: Request) -> bytes:
    """On the wire. A retry with the same key is the same request but for its nonce."""
    path = {"GET": "/read", "POST": "/pay", "PUT": "/move"}[request.method]
    nonce = request.nonce
    head = f"{request.method} {path} HTTP/1.1\r\nhost: a\r\norigin: {nonce}\r\nx-nonce: {nonce}\r\n"
    if request.key:
        head += f"idempotency-key: {request.key}\r\n"
    if request.upgrade:
        head += "connection: upgrade\r\nupgrade: websocket\r\n"
    if not request.is_write:
        return head.encode() + b"\r\n"
    return f"{head}content-length: {len(BODY)}\r\n\r\n{BODY}".encode()
