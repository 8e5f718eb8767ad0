"""A TCP relay in front of PostgreSQL that holds back what it is told to, and delivers all of it in the end.

Also what was sent by a client that has gone meanwhile: so a statement arrives long after its sender gave up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class StoreRelay:
    """`port` is where it listens; `delivered_late` counts statements that were delayed one by one."""

    def __init__(self, server: str) -> None:
        self._server = server  # path of the unix socket
        self._loop = asyncio.get_running_loop()
        self._statements_until = 0.0
        self._answers_until = 0.0
        self._late: tuple[bytes, float] | None = None
        self.delivered_late = 0
        self.port = 0

    async def start(self) -> None:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._listening.close()

    def hold_statements(self, seconds: float) -> None:
        self._statements_until = self._loop.time() + seconds

    def hold_answers(self, seconds: float) -> None:
        self._answers_until = self._loop.time() + seconds

    def delay_one(self, containing: bytes, seconds: float) -> None:
        """The next statement with these bytes, and all after it on its connection."""
        self._late = (containing, seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_unix_connection(self._server)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):  # asyncio logs a cancelled handler as an error
            await asyncio.gather(
                self._pump(reader, back_writer, self._statement_due),
                self._pump(back_reader, writer, lambda data: self._answers_until),
            )

    def _statement_due(self, data: bytes) -> float:
        if self._late is not None and self._late[0] in data:
            seconds, self._late = self._late[1], None
            self.delivered_late += 1
            return self._loop.time() + seconds
        return self._statements_until

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: Callable[[bytes], float]
    ) -> None:
        """Whoever sent it may be gone when its turn comes."""
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                until = due(data)
                if (wait := until - self._loop.time()) > 0:
                    await asyncio.sleep(wait)
                writer.write(data)
                await writer.drain()
        writer.close()
