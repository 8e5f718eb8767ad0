"""A TCP relay in front of a backend that breaks the connections it is told to, where it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter, deque
from typing import Final, Literal

Cut = Literal["cut_before", "cut_in_request", "cut_after_request", "cut_in_response"]
CUTS: Final[tuple[Cut, ...]] = ("cut_before", "cut_in_request", "cut_after_request", "cut_in_response")
_RESET: Final = struct.pack("ii", 1, 0)


class Cuts:
    """What is to be broken next, for all relays together, and what was."""

    def __init__(self) -> None:
        self.waiting: deque[Cut] = deque()
        self.fired: Counter[str] = Counter()

    def next(self) -> Cut | None:
        return self.waiting.popleft() if self.waiting else None


class Relay:
    """Each read from the proxy is taken for a request, each read from the backend for a response."""

    def __init__(self, backend_port: int, cuts: Cuts) -> None:
        self._backend_port = backend_port
        self._cuts = cuts
        self.port = 0

    async def start(self) -> None:
        """Listens, on the same port every time: while it does not, connections are refused."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._backend_port)
        except OSError:
            _reset(writer)
            return
        cut: deque[Cut] = deque()
        with contextlib.suppress(
            OSError, asyncio.CancelledError
        ):  # asyncio logs a cancelled handler as an error
            await asyncio.wait(
                [
                    asyncio.create_task(self._requests(reader, writer, back_writer, cut)),
                    asyncio.create_task(self._responses(back_reader, back_writer, writer, cut)),
                ],
                return_when=asyncio.ALL_COMPLETED,
            )
        for each in (writer, back_writer):
            each.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        cut: deque[Cut],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                how = self._cuts.next()
                if how in ("cut_before", "cut_in_request"):
                    if how == "cut_in_request":
                        back.write(data[: len(data) // 2])
                        await back.drain()
                    self._cuts.fired[how] += 1
                    _reset(writer)
                    break
                if how is not None:
                    cut.append(how)
                back.write(data)
                await back.drain()
        back.close()

    async def _responses(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
        cut: deque[Cut],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if cut:
                    how = cut.popleft()
                    if how == "cut_in_response":
                        writer.write(data[: len(data) // 2])
                        await writer.drain()
                    self._cuts.fired[how] += 1
                    _reset(writer)
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
