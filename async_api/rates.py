"""Exchange rates that all processes share: one question at a time, and its answer for a while."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from async_api import metrics
from async_api.cache import Cache, Found
from async_api.config import Settings
from async_api.flights import Flights
from async_api.fx import Rate, Rates


class SharedRates(Rates):
    """A rate is kept for at most half of its validity, so that a client has the other half to use it."""

    def __init__(self, settings: Settings, cache: Cache | None) -> None:
        super().__init__(settings)
        self._cache = cache
        self._ttl = settings.cache_fx_ttl
        self._prefix = f"{settings.cache_prefix}:fx1"
        self._flights: Flights[Rate] | None = None
        if settings.collapse:
            self._flights = Flights(settings.collapse_wait, metrics.COLLAPSED.labels("fx").inc)

    async def rate(self, base: str, quote: str) -> Rate:
        """Raises Problem (503)."""

        async def find() -> Rate:
            return await self._find(base, quote)

        if self._flights is None:
            return await find()
        # A rate is good for seconds whenever it was asked for, so one may join a question under way.
        return await self._flights.join((base, quote), find, late=True)

    async def _find(self, base: str, quote: str) -> Rate:
        if self._cache is None:
            return await super().rate(base, quote)

        async def load() -> Found:
            found = await super(SharedRates, self).rate(base, quote)
            left = (found.expires_at - datetime.now(UTC)).total_seconds()
            return Found(_dump(found), min(self._ttl, left / 2))

        return _parse(await self._cache.fetch("fx_rate", f"{self._prefix}:{base}:{quote}", load))


def _dump(rate: Rate) -> bytes:
    return json.dumps([rate.rate, rate.quoted_at.isoformat(), rate.expires_at.isoformat()]).encode()


def _parse(value: bytes) -> Rate:
    rate, quoted_at, expires_at = json.loads(value)
    return Rate(rate, datetime.fromisoformat(quoted_at), datetime.fromisoformat(expires_at))
