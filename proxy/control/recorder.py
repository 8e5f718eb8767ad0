"""Writes what happened to the configuration into the store: the audit log, and every accepted text.

The proxy does not depend on it: what cannot be written waits, up to WAITING entries, and is tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.log import log
from proxy.control.reload import Change
from proxy.core.traffic.authors import Author
from proxy.store import audit, configs
from proxy.store.audit import AuditEntry
from proxy.store.configs import AcceptedConfig

WAITING: Final = 1000
SHOWN: Final = 100  # entries that the admin port shows
LOOK: Final = 10.0  # seconds between two looks at what others (the command line) wrote
TIMEOUT: Final = 15.0  # seconds; nobody waits for it
RETRY: Final = 5.0  # seconds after a failure
MAX_LINES: Final = 100  # of a difference or of errors, per entry


class Recorder:
    """`record` never blocks. `recent` are the newest entries of the audit log, newest first."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: deque[Change] = deque(maxlen=WAITING)
        self._news = asyncio.Event()
        self._failing = False
        self.recent: list[AuditEntry] = []

    def record(self, change: Change) -> None:
        self._waiting.append(change)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled; writes what waits then, if the store lets it."""
        try:
            while True:
                wait = RETRY if not await self._flush() else LOOK
                try:
                    async with asyncio.timeout(wait):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            if self._waiting:
                await self._flush()

    async def _flush(self) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(TIMEOUT), configs.opened(self._url) as engine:
                while self._waiting:
                    async with engine.begin() as connection:
                        await _write(connection, self._waiting[0])
                    self._waiting.popleft()
                async with engine.connect() as connection:
                    self.recent = await audit.entries(connection, SHOWN)
        except Exception as error:  # whatever it is, the proxy goes on
            if not self._failing:
                reason = getattr(error, "orig", None) or repr(error)
                log.error("the audit log cannot be written (%s); trying again: see server.state", reason)
            self._failing = True
            return False
        if self._failing:
            log.info("the audit log is written again")
        self._failing = False
        return True


async def _write(connection: AsyncConnection, change: Change) -> None:
    lines = [*change.lines[:MAX_LINES]]
    details = {"trigger": change.trigger, "hash": change.hash, "lines": lines}
    if change.claimed:
        details["claimed"] = change.claimed
    action = "config refused" if change.hash is None else "config accepted"
    if change.hash is not None:
        latest = await configs.newest(connection, 1)
        if latest and latest[0].hash == change.hash and change.trigger == "start":
            return
        accepted = AcceptedConfig(
            0,
            change.time,
            change.hash,
            str(Author(change.author, change.claimed)),
            change.trigger,
            lines,
            change.text,
        )
        await configs.append(connection, accepted)
    await audit.append(connection, change.time, change.author, action, details)


def started(hash: str, text: str) -> Change:
    """The configuration that a process begins with."""
    return Change(time.time(), "start", "", hash, (), text)
