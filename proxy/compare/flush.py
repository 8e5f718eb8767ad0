"""Brings what was gathered into the store, about once a second, and deletes what is too old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.compare.gather import Batch, Gathering
from proxy.core.comparisons import Scope, Tally
from proxy.store import comparisons

log = logging.getLogger("strangler.comparer")

INTERVAL: Final = 1.0  # seconds between two writes
FORGET: Final = 600.0  # seconds between two deletions of what is old
RETRY: Final = 5.0  # seconds after a failure
TIMEOUT: Final = 10.0  # seconds for one write
LOOKUP: Final = 2.0  # seconds for one reading


class Flusher:
    """`url` is `server.state`. What can not be written is kept, as one batch, and tried again."""

    def __init__(self, url: str, gathering: Gathering, ttl: Callable[[], float]) -> None:
        self._url = url
        self._gathering = gathering
        self._ttl = ttl
        self._engine: AsyncEngine | None = None
        self._pending: Batch | None = None
        self._forgot = 0.0
        self._failing = False

    async def run(self) -> None:
        """Until cancelled; what is gathered by then is written if the store lets it."""
        try:
            while True:
                await self._open_and_write()
                await asyncio.sleep(RETRY)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TIMEOUT), comparisons.opened(self._url) as engine:
                    await self._write(engine)

    async def lookup(self, scope: Scope) -> Tally | None:
        """What the store has of a scope; None also if it does not answer."""
        if self._engine is None:
            return None
        try:
            async with asyncio.timeout(LOOKUP), self._engine.connect() as connection:
                await connection.execution_options(readonly=True)
                return await comparisons.tally(connection, scope.id)
        except Exception as error:  # whatever it is, counts can be added without it
            log.warning("the evidence of %s cannot be read: %s", scope.endpoint, error)
            return None

    async def _open_and_write(self) -> None:
        try:
            async with comparisons.opened(self._url) as engine:
                self._engine = engine
                while True:
                    await self._write(engine)
                    if self._failing:
                        log.info("the evidence is written again")
                    self._failing = False
                    await asyncio.sleep(INTERVAL)
        except Exception as error:  # whatever it is, comparing goes on
            if not self._failing:
                log.error("the evidence cannot be written (%s); trying again: see server.state", error)
            self._failing = True
        finally:
            self._engine = None

    async def _write(self, engine: AsyncEngine) -> None:
        """First what could not be written before, then what came since."""
        for _ in range(2):
            if self._pending is None:
                self._pending = self._gathering.take()
            if self._pending:
                async with asyncio.timeout(TIMEOUT), engine.begin() as connection:
                    await comparisons.add(connection, *self._pending)
            self._pending = None
        now = time.time()
        if now - self._forgot >= FORGET:
            async with asyncio.timeout(TIMEOUT), engine.begin() as connection:
                await comparisons.forget(connection, now - self._ttl())
            self._forgot = now
