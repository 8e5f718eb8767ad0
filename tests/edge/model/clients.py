"""Clients that pipeline, leave and stall, and read every answer that they get."""

from __future__ import annotations

from tests.edge.model.invariants import Invariants, Request
from tests.edge.model.loop import FakeLoop
from tests.edge.model.transports import FakeTransport
from tests.edge.model.wire import Reader


class Client(FakeTransport):
    """A client's connection: what the proxy writes are answers to `asked`, the first of them first."""

    def __init__(self, loop: FakeLoop, invariants: Invariants, name: str) -> None:
        super().__init__(loop)
        self.asked: list[Request] = []
        self.name = name
        self._invariants = invariants
        self._reader = Reader()
        self._rest = b""  # of a request of which a part was sent
        self.left = False

    def ask(self, request: Request, cut: bool) -> None:
        """Send it, or only half of it."""
        self.go_on()
        self._invariants.asked(request)
        self.asked.append(request)
        data = written(request)
        end = len(data) - 4 if request.is_write else len(data) // 2
        self._rest = data[end:] if cut else b""
        self.send(data[:end] if cut else data)

    def go_on(self) -> None:
        """Send what is left of a request."""
        rest, self._rest = self._rest, b""
        if rest:
            self.send(rest)

    def leave(self) -> None:
        self.left = True
        self.lose(ConnectionResetError())

    @property
    def waits(self) -> bool:
        """Whether an answer is still due."""
        return bool(self.asked) and not self.closing

    @property
    def is_open(self) -> bool:
        return not self.closing and not self.ended

    def on_written(self, data: bytes) -> None:
        reader = self._reader
        for message in reader.feed(data):
            if message.status >= 200:
                self._invariants.answer(self.asked, message, self.name)
                if self.asked:
                    self.asked.pop(0)
        if reader.current is not None:
            self._invariants.answer(self.asked, reader.current, self.name)


def written(request: Request) -> bytes:
    """On the wire. A retry with the same key is the same request but for its nonce."""
    path = {"GET": "/read", "POST": "/pay", "PUT": "/move"}[request.method]
    head = f"{request.method} {path} HTTP/1.1\r\nhost: a\r\norigin: {request.nonce}\r\nx-nonce: {request.nonce}\r\n"
    if request.key:
        head += f"idempotency-key: {request.key}\r\n"
    if not request.is_write:
        return head.encode() + b"\r\n"
    body = f"pay for {request.key}"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
