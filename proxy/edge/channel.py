"""The worker's end of the channel to the control process.

A worker can serve without its control process: if the connection breaks, it keeps its last snapshot and
reconnects until it succeeds. Each connection starts with `Hello` and the listening socket, so any new
control process can take the worker over.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

import msgspec

from proxy import owned
from proxy.core.wire.framing import FrameReader, FrameTooLarge
from proxy.core.wire.messages import (
    FromControl,
    FromWorker,
    Hello,
    UnknownType,
    decode_from_control,
    encode,
)

RETRY = 0.2  # seconds between two attempts to connect
MAX_PENDING = 8 * 1024 * 1024  # bytes a control process may leave unread before we hang up

log = logging.getLogger("strangler.worker")


class ControlChannel:
    """Keeps one connection to the control process; runs on asyncio and on uvloop.

    `hello` is asked anew for every connection. `on_message` is called in the event loop's thread, in order.
    """

    def __init__(
        self,
        path: str,
        hello: Callable[[], Hello],
        listener: socket.socket,
        on_message: Callable[[FromControl], None],
    ) -> None:
        self._path = path
        self._hello = hello
        self._listener = listener
        self._on_message = on_message
        self._session: _Session | None = None
        self._lost: float | None = None  # when the last conversation ended, by the event loop's clock

    async def run(self) -> None:
        """Connects, and connects again whenever that ends. Never returns; cancel it."""
        while True:
            try:
                await self._converse()
            except owned.NotOurs as error:
                log.error("worker: refusing to connect to %s: %s", self._path, error.strerror)
            except OSError:
                """Nobody listens: a new control process will."""
            await asyncio.sleep(RETRY)

    def alone(self) -> float:
        """Seconds for which no control process has been there; 0 if one is, or none has been yet."""
        if self._session is not None or self._lost is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._lost

    def send(self, message: FromWorker) -> bool:
        """Queues the message; drops it when disconnected (the next `Hello` carries the state)."""
        return self._session is not None and self._session.send(message)

    async def _converse(self) -> None:
        loop = asyncio.get_running_loop()
        session = _Session(self._on_message)
        sock = _connect(self._path, self._hello(), self._listener)
        self._session = session  # before anything arrives: the answer to the first message must not be lost
        try:
            transport, _ = await loop.create_unix_connection(lambda: session, sock=sock)
        except BaseException:
            self._session = None
            sock.close()
            raise
        try:
            await session.closed
            self._lost = loop.time()
            log.warning("worker: the control process is gone; serving on and reconnecting every 200 ms")
        finally:
            self._session = None
            transport.abort()


def _connect(path: str, hello: Hello, listener: socket.socket) -> socket.socket:
    """A connected socket on which Hello and the listening socket were sent; raises OSError at once."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)  # a unix socket connects at once or says EAGAIN: its backlog is full
        owned.check_peer(sock, path)  # whoever has our listening socket can answer our clients
        data = encode(hello)
        if socket.send_fds(sock, [data], [listener.fileno()]) != len(data):
            raise OSError("the control socket accepted only a part of the first message")
    except BaseException:
        sock.close()
        raise
    return sock


class _Session(asyncio.Protocol):
    """One connection, from connect to close."""

    def __init__(self, on_message: Callable[[FromControl], None]) -> None:
        self._on_message = on_message
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._deliver(body)
        except (FrameTooLarge, msgspec.DecodeError) as error:
            log.error(
                "worker: closing the connection to the control process, which sent an invalid message: %s",
                error,
            )
            self._abort()

    def _deliver(self, body: bytes) -> None:
        try:
            message = decode_from_control(body)
        except UnknownType as error:  # a newer control process goes on with workers that it has taken over
            log.warning("worker: left out a message of the control process: %s", error)
            return
        self._on_message(message)

    def send(self, message: FromWorker) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() > MAX_PENDING:
            self._abort()
            return False
        self._transport.write(encode(message))
        return True

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
