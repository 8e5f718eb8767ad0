"""How full the store of answers is, and the disk that contains it. Checked every few seconds.

The alarm is raised before the limit, because at the limit retries no longer get answers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.control.alarms import Alarm
from proxy.control.log import log
from proxy.store import StoreUnavailable, is_sqlite, writes
from proxy.store.places import claims_file

INTERVAL: Final = 5.0  # seconds between two looks
NEAR: Final = 0.8  # share of the limit that is an alarm
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Disk(NamedTuple):
    """Bytes of the file system with the state, and those of them that this process may still use."""

    total: int
    free: int


class Stored(NamedTuple):
    """Bytes of the answers that are stored, and of `idempotency.max_store`, 0 if there is none."""

    size: int | None
    limit: int
    disk: Disk | None


class Storage:
    """`limit` is `idempotency.max_store`. Figures are None until they are known, `disk` also for ever: with
    PostgreSQL it is not here.
    """

    def __init__(self, url: str, limit: Callable[[], int], clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._limit = limit
        self._clock = clock
        self._since: float | None = None  # it was near the limit
        self.stored: int | None = None
        self.disk: Disk | None = None

    async def run(self) -> None:
        """Checks forever; cancel it."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """What the store does not say stays as it was: who writes finds out that it is away."""
        self.disk = await asyncio.to_thread(disk_of, self._url)
        try:
            self.stored = await writes.stored(self._url)
        except (StoreUnavailable, TimeoutError):
            return
        near = self._is_near()
        if near and self._since is None:
            log.error("%s", self._text())
        elif not near and self._since is not None:
            log.info("stored answers are below %d %% of idempotency.max_store again", NEAR * 100)
        self._since = (self._since or self._clock()) if near else None

    def alarms(self) -> list[Alarm]:
        """One if there is little room, a serious one if there is none."""
        if self._since is None or not self._is_near():  # the limit may just have been raised
            return []
        return [Alarm("store", "", self._text(), self._since, (self.stored or 0) >= self._limit())]

    def figures(self) -> Stored:
        return Stored(self.stored, self._limit(), self.disk)

    def _is_near(self) -> bool:
        limit = self._limit()
        return limit > 0 and self.stored is not None and self.stored >= NEAR * limit

    def _text(self) -> str:
        stored, limit = self.stored or 0, self._limit()
        kept = f"stored answers take {readable(stored)} of the {readable(limit)} of idempotency.max_store"
        if stored >= limit:
            return f"{kept}: new answers are not stored, and a retry does not get them"
        return f"{kept}; beyond the limit, answers are not stored"


def told(found: Stored) -> str:
    """For the page: `Stored answers: 1.2 MiB of 5 GiB. Disk of the state: 31 GiB of 98 GiB free.`"""
    parts = []
    if found.size is not None:
        bound = f" of {readable(found.limit)}" if found.limit else ""
        parts.append(f"Stored answers: {readable(found.size)}{bound}.")
    if found.disk is not None:
        parts.append(f"Disk of the state: {readable(found.disk.free)} of {readable(found.disk.total)} free.")
    return " ".join(parts)


def disk_of(url: str) -> Disk | None:
    """Of the folder that has, or will have, the state; None if it is no folder of this machine."""
    if not is_sqlite(url):
        return None
    folder = claims_file(url).absolute().parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def readable(size: float) -> str:
    """`12.3 MiB`."""
    unit = 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g} {UNITS[unit]}"
