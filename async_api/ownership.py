"""Whether balances and lists may be cached: only while this service is the only writer, as the proxy's ledger
shows.

The setting alone is not believed. The proxy is asked again and again, and what it says decides: a rollback
to legacy ends this caching within seconds. Until then the triggers see legacy's writes too, so nothing gets
staler than `cache_owned_ttl` in any case.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import httpx2

from async_api import metrics
from async_api.config import Settings
from async_api.errors import Problem
from async_api.outbox import Outbox

logger = logging.getLogger("async_api")

WRITES: Final = (
    "POST /accounts",
    "PUT /accounts/{account_id}",
    "POST /payments",
    "POST /payments/{payment_id}/refunds",
)
SAFE: Final = ("GET ", "HEAD ", "OPTIONS ")

CHECK = 5.0  # seconds between two questions to the proxy
LEASE, TRUSTED = 30.0, 25.0  # seconds: how long the triggers write, and how long they are relied on
DRAIN = 0.05  # seconds between two looks at the outbox
SETTLE = 5.0  # seconds that older transactions get to end

FAILURES = (Problem, asyncpg.PostgresError)  # no database, or one without migration 0003
UNREADABLE = (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError, AttributeError)


def objection(ledger: Mapping[str, Any]) -> str | None:
    """Why the proxy's `GET /api/v1/ledger` does not show this service as only writer; None if it does."""
    rows = {row["endpoint"]: row for row in ledger["endpoints"]}
    for name in WRITES:
        row = rows.get(name)
        if row is None:
            return f"the proxy does not list {name}"
        if row["weight"] < 100:
            return f"{name} has weight {row['weight']:g}, so legacy still writes"
        if row["progress"] == "legacy still hit":
            return f"{name} is at 100, but legacy was hit since ({_reasons(row['legacy'])})"
    unlisted: Sequence[Mapping[str, Any]] = ledger["unlisted"]
    for row in unlisted:
        if not row["path"].startswith(SAFE):
            return f"legacy still gets {row['path']}, which the proxy does not list"
    return None


def _reasons(hits: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in hits.items())


class Ownership:
    """`trusted` is what readers ask. Without an outbox it is never true."""

    def __init__(self, settings: Settings, outbox: Outbox | None) -> None:
        self._url = settings.proxy_admin_url.rstrip("/")
        self._wanted = settings.cache_owned
        self._outbox = outbox if settings.cache_owned else None
        self._until = 0.0
        self._refused: str | None = None
        self._lapses = self._mended = 0  # times that Redis may not know of a write; as of the last full drain

    @property
    def active(self) -> bool:
        """Whether this service is the only writer, as far as is known."""
        return time.monotonic() < self._until

    @property
    def trusted(self) -> bool:
        """Whether balances and lists in the cache are as new as this process's last answer to a write."""
        return self.active and self._mended == self._lapses

    async def settle(self) -> None:
        """After a write: nobody reads from the cache what was before it.

        If Redis could not be told, readers of this process go past it until it was.
        """
        if self._outbox is not None and self.active:
            told = False
            try:
                told = await self._tell(self._outbox)
            finally:  # cancelled, too: the write took place
                self._lapses += not told

    async def run(self) -> None:
        """Until cancelled."""
        if self._outbox is None:
            if self._wanted:
                logger.warning("CACHE_OWNED is refused: REDIS_URL is not set")
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(self._outbox))
            tasks.create_task(self._drain(self._outbox))

    async def _watch(self, outbox: Outbox) -> None:
        while True:
            reason = await self._objection()
            if reason is None:
                reason = await self._renew(outbox)
            if reason is not None:
                self._until = 0.0
                if reason != self._refused:
                    logger.warning("CACHE_OWNED is refused: %s; balances and lists are not cached", reason)
            self._refused = reason
            metrics.CACHE_OWNED.set(self.active)
            await asyncio.sleep(CHECK)

    async def _objection(self) -> str | None:
        if not self._url:
            return "PROXY_ADMIN_URL is not set, and without the proxy's ledger it is not known who writes"
        try:
            async with httpx2.AsyncClient(timeout=CHECK, trust_env=False) as client:
                response = await client.get(f"{self._url}/api/v1/ledger")
            response.raise_for_status()
            return objection(response.json())
        except UNREADABLE as error:
            return f"the ledger of {self._url} cannot be read ({type(error).__name__}: {error})"

    async def _renew(self, outbox: Outbox) -> str | None:
        """Extends the lease. A new one counts once no transaction is left that may not have seen it."""
        began = time.monotonic()
        try:
            await outbox.extend(LEASE)
            if not self.active:
                self._lapses += 1  # what was cached before has not been told of what was written since
                xid = await outbox.next_transaction()
                while not await outbox.ended_before(xid):
                    if time.monotonic() > began + SETTLE:
                        return "a transaction from before is still open"
                    await asyncio.sleep(DRAIN)
        except FAILURES as error:
            return str(error)
        self._until = began + TRUSTED
        return None

    async def _drain(self, outbox: Outbox) -> None:
        while True:
            if self.active:
                await self._tell(outbox)
            await asyncio.sleep(DRAIN)

    async def _tell(self, outbox: Outbox) -> bool:
        """Whether Redis knows of all that was committed before. Lapses from before are mended by that."""
        before = self._lapses
        with suppress(*FAILURES):
            if await outbox.drain():
                self._mended = max(self._mended, before)
                return True
        return False
