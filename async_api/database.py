"""The connection pool: bounded, and with a bounded wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy as Connection

from async_api import metrics
from async_api.config import Settings
from async_api.errors import UNAVAILABLE, unavailable

__all__ = ["Connection", "Database", "Record"]


class Database:
    """A pool that opens connections when they are needed, so that the service starts without its database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        settings = self._settings
        self._pool = await asyncpg.create_pool(
            settings.database_url,
            min_size=0,  # more would be opened at once, and fail the start when the database is down
            max_size=settings.pool_max,
            timeout=settings.connect_timeout,
            command_timeout=settings.command_timeout,
            statement_cache_size=settings.statement_cache_size,
            reset=_keep,
        )
        warm = min(settings.pool_min, settings.pool_max)
        await asyncio.gather(*(self._pool.fetchval("SELECT 1") for _ in range(warm)), return_exceptions=True)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of one's own. Raises Problem (503) when there is none in time or it breaks."""
        assert self._pool is not None
        try:
            connection = await self._acquire(self._pool)
            metrics.POOL_USED.inc()
            try:
                yield connection
            finally:
                metrics.POOL_USED.dec()
                # asyncpg closes what it cannot take back. How the work ended is not to be hidden by that.
                with suppress(*UNAVAILABLE):
                    await self._pool.release(connection)
        except UNAVAILABLE as error:
            metrics.UNAVAILABLE.inc()
            raise unavailable(error) from error

    async def _acquire(self, pool: asyncpg.Pool) -> Connection:
        began = time.perf_counter()
        metrics.POOL_WAITING.inc()
        try:
            return await pool.acquire(timeout=self._settings.pool_wait)
        finally:
            metrics.POOL_WAITING.dec()
            metrics.POOL_WAIT.observe(time.perf_counter() - began)

    async def fetch(self, query: str, *values: object) -> list[Record]:
        async with self.connection() as connection:
            return list(await connection.fetch(query, *values))

    async def fetchrow(self, query: str, *values: object) -> Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(query, *values)

    async def fetchval(self, query: str, *values: object) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *values)


async def _keep(_connection: Connection) -> None:
    """Instead of asyncpg's RESET ALL: nothing here changes a session, and it costs a round trip each."""
