"""Writes with an unknown outcome, read only while somebody looks at the page or requests figures."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from proxy.control.alarms import Alarm
from proxy.core.resilience.idempotency import Record
from proxy.store import StoreUnavailable
from proxy.store.writes import page

INTERVAL: Final = 5.0  # seconds between two looks
SHOWN: Final = 20


class UnknownWrites:
    """`writes` are the newest, at most SHOWN of `total`. `error` says why they are old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self.writes: list[Record] = []
        self.total = 0
        self.error = ""

    def refresh(self) -> None:
        """Starts a look if the last one is old; what it finds is there the next time. Needs a loop."""
        now = time.monotonic()
        if self._looking is None and now - self._looked >= INTERVAL:
            self._looked = now
            self._looking = asyncio.get_running_loop().create_task(self.look())
            self._looking.add_done_callback(self._done)

    async def current(self) -> list[Alarm]:
        """After a look, if the last one is old."""
        now = time.monotonic()
        if now - self._looked >= INTERVAL:
            self._looked = now
            await self.look()
        return self.alarms()

    def alarms(self) -> list[Alarm]:
        """One if there are any: somebody has to settle them."""
        if not self.total:
            return []
        text = f"{self.total:,} {'writes have' if self.total > 1 else 'write has'} an unknown outcome"
        return [Alarm("writes", "", f"{text}: `strangler writes --unknown`", None, True)]

    async def look(self) -> None:
        try:
            found = await page(self._url, "unknown", SHOWN)
            self.writes = list(found.records)
            self.total = found.total or 0
            self.error = ""
        except (StoreUnavailable, TimeoutError) as error:
            self.error = f"the store does not answer: {error}"

    def _done(self, task: asyncio.Task[None]) -> None:
        self._looking = None
