"""One connection of a client, kept open: sends requests, reads answers, notices what it did not ask for."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

from tests.faults.saturation.echo import field


class Lost(Exception):
    """The connection ended before the answer was whole."""


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes

    @property
    def nonce(self) -> str:
        """As the backend repeats it; "" in an answer of the proxy's own."""
        return field(self.head, b"x-nonce").decode("latin-1")

    @property
    def origin(self) -> str:
        """As the proxy repeats it in its own answers."""
        return field(self.head, b"access-control-allow-origin").decode("latin-1")

    @property
    def error(self) -> str:
        """The kind in an answer of the proxy's own."""
        return field(self.head, b"x-proxy-error").decode("latin-1").rpartition("kind=")[2]

    @property
    def closes(self) -> bool:
        return field(self.head, b"connection").lower() == b"close"


def take_answer(buffer: bytes) -> tuple[Answer, bytes] | None:
    """The first answer, framed by Content-Length, and what follows it; None: it is not whole yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[: end + 2]
    whole = end + 4 + int(field(head, b"content-length") or 0)
    if len(buffer) < whole:
        return None
    return Answer(int(head[9:12]), head, buffer[end + 4 : whole]), buffer[whole:]


class Connection(asyncio.Protocol):
    """`unasked`: bytes came while nothing was asked; they pass for the next answer, as with any client."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.unasked = False
        self.closed = False
        self._buffer = b""
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(Lost)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is None:
            self.unasked = True
        else:
            self._deliver()

    async def ask(self, request: bytes) -> Answer:
        """Raises Lost. Cancelled, it leaves a connection that can only be closed."""
        if self.closed:
            raise Lost
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self.transport.write(request)
        self._deliver()
        return await waiting

    def _deliver(self) -> None:
        if self._waiting is None or self._waiting.done() or (taken := take_answer(self._buffer)) is None:
            return
        answer, self._buffer = taken
        self._waiting.set_result(answer)
        self._waiting = None
        self.unasked = bool(self._buffer)
