"""Clients that each hold a connection and are as slow as they may: they come again when they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tests.edge.harness import WAIT

READER_BUFFER: Final = 4096
SIZE: Final = 1 << 30  # of an upload: it never comes to its end


@dataclass(frozen=True)
class Slow:
    """Bytes in each second, in pieces of so many."""

    way: str  # "up" or "down"
    rate: int
    piece: int


class Crowd:
    """All of them in one thread."""

    def __init__(self, port: int, members: list[Slow]) -> None:
        self._port = port
        self._members = members
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(WAIT)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._all())
        self._loop.close()

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _all(self) -> None:
        await asyncio.gather(*(self._for_ever(member) for member in self._members))

    async def _for_ever(self, member: Slow) -> None:
        while True:
            with socket.socket() as sock:
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    await self._once(member, sock)
            await asyncio.sleep(0.01)

    async def _once(self, member: Slow, sock: socket.socket) -> None:
        if member.way == "down":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READER_BUFFER)
        await self._loop.sock_connect(sock, ("127.0.0.1", self._port))
        if member.way == "down":
            await self._down(member, sock)
        else:
            await self._until_answered(sock, self._up(member, sock))

    async def _down(self, member: Slow, sock: socket.socket) -> None:
        await self._loop.sock_sendall(sock, b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        while True:
            left = member.piece
            while left > 0:
                data = await self._loop.sock_recv(sock, left)
                if not data:
                    return
                left -= len(data)
            await asyncio.sleep(member.piece / member.rate)

    async def _up(self, member: Slow, sock: socket.socket) -> None:
        head = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % SIZE
        await self._loop.sock_sendall(sock, head + bytes(2048))  # as much as is buffered, at once
        while True:
            await self._loop.sock_sendall(sock, bytes(member.piece))
            await asyncio.sleep(member.piece / member.rate)

    async def _until_answered(self, sock: socket.socket, sending: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(sending)
        try:
            await self._loop.sock_recv(sock, 4096)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
