"""The state database as the runner uses it: opened once, anew after a fault, never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.store import StoreUnavailable, rollouts
from proxy.store.migrations import TooNew

PATIENCE: Final = 3.0  # seconds that one transaction may take


class Database:
    def __init__(self, url: str) -> None:
        self._url = url
        self._opened = AsyncExitStack()
        self._engine: AsyncEngine | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[AsyncConnection]:
        """Raises StoreUnavailable; then nothing is known about what was asked of it."""
        try:
            async with asyncio.timeout(PATIENCE):
                engine = await self._open()
                async with engine.connect() as connection:
                    if readonly:
                        await connection.execution_options(readonly=True)
                    async with connection.begin():
                        yield connection
        except TimeoutError:
            await self.close()
            raise StoreUnavailable("no answer in time") from None
        except (sa.exc.SQLAlchemyError, OSError, TooNew) as error:
            await self.close()
            raise StoreUnavailable(f"{getattr(error, 'orig', None) or error}") from error

    async def close(self) -> None:
        opened, self._opened, self._engine = self._opened, AsyncExitStack(), None
        with suppress(Exception):  # it is gone either way
            async with asyncio.timeout(PATIENCE):
                await opened.aclose()

    async def _open(self) -> AsyncEngine:
        async with self._lock:
            if self._engine is None:
                self._engine = await self._opened.enter_async_context(rollouts.opened(self._url))
            return self._engine
