"""A TCP relay in front of PostgreSQL that breaks connections at COMMIT."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Cut(Enum):
    """When to break the connection that sends COMMIT."""

    NEVER = "never"
    BEFORE = "before the server gets it"
    AFTER = "after the server did it"
    SILENT = "never, but nothing is said any more after the server did it"


class Relay:
    """Breaks one connection for each entry of `cuts`, in order, then none."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self.cuts: list[Cut] = []
        self.refuse = False  # close new connections at once
        self.ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.url = f"postgresql://{user}@127.0.0.1:{port}{self._parts.path}?sslmode=disable"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.ended.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        up_reader, up_writer = await self._connect()
        back = asyncio.create_task(_copy(up_reader, writer))
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                cut = self.cuts.pop(0) if self.cuts and b"COMMIT;" in data else Cut.NEVER
                if cut is not Cut.NEVER:
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)  # until then it reads
                if cut in (Cut.AFTER, Cut.SILENT):
                    up_writer.write(data)
                    await _until_done(up_reader)
                if cut is Cut.SILENT:
                    await self.ended.wait()
                if cut is not Cut.NEVER:
                    break
                up_writer.write(data)
        back.cancel()
        writer.transport.abort()
        up_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._parts.query)
        port = self._parts.port or 5432
        if "host" in query:
            return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{port}")
        return await asyncio.open_connection(self._parts.hostname, port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
        writer.transport.abort()


async def _until_done(reader: asyncio.StreamReader) -> None:
    """Read until ReadyForQuery, idle: the COMMIT has been carried out."""
    seen = b""
    while not seen.endswith(b"Z\x00\x00\x00\x05I"):
        seen += await reader.read(65536)
