"""Writes the collected evidence to the store about once per second, and deletes what is too old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.compare.aggregate import Aggregate, Batch
from proxy.core.comparison.comparisons import Sample, Scope, Tally
from proxy.core.privacy.erasure import Matcher
from proxy.store import comparisons

log = logging.getLogger("strangler.comparer")

INTERVAL: Final = 1.0  # seconds between two writes
FORGET: Final = 600.0  # seconds between two deletions of what is old
RETRY: Final = 5.0  # seconds after a failure
TIMEOUT: Final = 10.0  # seconds for one write
UNDER_WAY: Final = 60.0  # seconds after which no comparison of before is under way any more
FORGOTTEN: Final = 1000  # that are remembered
LOOKUP: Final = 2.0  # seconds for one reading


class AggregateWriter:
    """`url` is `server.state`. What cannot be written is kept, as one batch, and tried again (`failing`)."""

    def __init__(self, url: str, aggregate: Aggregate, ttl: Callable[[], float]) -> None:
        self._url = url
        self._aggregate = aggregate
        self._ttl = ttl
        self._engine: AsyncEngine | None = None
        self._pending: Batch | None = None
        self._forgot = 0.0
        self._stopping = asyncio.Event()
        self._writing = asyncio.Lock()
        self._forgotten: deque[tuple[Matcher, float]] = deque(maxlen=FORGOTTEN)
        self.failing = False

    async def run(self) -> None:
        """Until `stop`; what is gathered by then is written if the store lets it."""
        while not self._stopping.is_set():
            await self._open_and_write()
            if not self._stopping.is_set():
                await self._pause(RETRY)

    def stop(self) -> None:
        """Does not cancel: if a write were cut off, nobody would know whether it took place."""
        self._stopping.set()

    async def forget(self, matcher: Matcher) -> int:
        """Samples that match are not written from now on; returns how many were waiting.

        Also those of comparisons that are under way, which end within UNDER_WAY seconds.
        """
        self._forgotten.append((matcher, time.time() + UNDER_WAY))
        dropped = self._aggregate.drop(matcher)
        async with self._writing:  # what is just being written is in the store then
            if self._pending is not None:
                kept = [each for each in self._pending.samples if not matcher.matches(each)]
                dropped += len(self._pending.samples) - len(kept)
                self._pending = self._pending._replace(samples=kept)
        return dropped

    def _remembered(self, samples: list[Sample]) -> list[Sample]:
        """Without those that are to be forgotten."""
        return [
            each
            for each in samples
            if not any(each.time <= until and matcher.matches(each) for matcher, until in self._forgotten)
        ]

    async def lookup(self, scope: Scope) -> Tally | None:
        """What the store has of a scope; None also if it does not answer."""
        if self._engine is None:
            return None
        try:
            async with asyncio.timeout(LOOKUP), self._engine.connect() as connection:
                await connection.execution_options(readonly=True)
                return await comparisons.tally(connection, scope.id)
        except Exception as error:  # of any kind: counts can be added without it
            log.warning("the evidence of %s cannot be read: %s", scope.endpoint, error)
            return None

    async def _open_and_write(self) -> None:
        try:
            async with comparisons.opened(self._url) as engine:
                self._engine = engine
                while not self._stopping.is_set():
                    async with self._writing:
                        await self._write(engine)
                    if self.failing:
                        log.info("the evidence is written again")
                    self.failing = False
                    await self._pause(INTERVAL)
                await self._write(engine)
        except Exception as error:  # of any kind: comparing continues
            if not self.failing:
                log.error("the evidence cannot be written (%s); trying again: see server.state", error)
            self.failing = True
        finally:
            self._engine = None

    async def _add(self, engine: AsyncEngine, batch: Batch) -> None:
        try:
            batch = batch._replace(samples=self._remembered(batch.samples))
            async with asyncio.timeout(TIMEOUT), engine.begin() as connection:
                await comparisons.add(connection, *batch)
        except (DataError, IntegrityError) as error:  # it would be refused for ever
            log.error("one second of evidence is lost, because the store refuses it: %s", error)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _write(self, engine: AsyncEngine) -> None:
        """First what could not be written before, then what came since."""
        for _ in range(2):
            if self._pending is None:
                self._pending = self._aggregate.take()
            if self._pending:
                await self._add(engine, self._pending)
            self._pending = None
        now = time.time()
        if now - self._forgot >= FORGET:
            async with asyncio.timeout(TIMEOUT), engine.begin() as connection:
                await comparisons.forget(connection, now - self._ttl())
            self._forgot = now
