"""Exchange rates from the FX provider: timeout, retries with backoff, then the last rate while valid."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import NamedTuple

import httpx2

from async_api import metrics, tracing
from async_api.config import Settings
from async_api.errors import Problem
from async_api.money import DECIMALS

logger = logging.getLogger("async_api")

_RATE = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")


class Rate(NamedTuple):
    rate: str  # units of the quote currency for one of the base currency
    quoted_at: datetime
    expires_at: datetime


class Rates:
    """The provider's client. Remembers one rate for each pair of supported currencies, no more."""

    def __init__(self, settings: Settings) -> None:
        self._attempts = settings.fx_attempts
        self._backoff = settings.fx_backoff
        # A fault that can be planted takes ties up: rare, and wrong by the smallest unit.
        faulty = "quote-rounding" in settings.async_fault
        self._rounding = ROUND_HALF_UP if faulty else ROUND_HALF_EVEN
        self._last: dict[tuple[str, str], Rate] = {}
        self._client = httpx2.AsyncClient(
            base_url=settings.fx_url.rstrip("/"), timeout=settings.fx_timeout, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def rate(self, base: str, quote: str) -> Rate:
        """Raises Problem (503) if the provider does not answer and there is no rate still valid."""
        for attempt in range(self._attempts):
            if attempt:
                metrics.RETRIES.labels("fx").inc()
                await asyncio.sleep(random.uniform(0.5, 1) * self._backoff * 2**attempt)
            try:
                found = self._last[base, quote] = await self._ask(base, quote)
            except (httpx2.HTTPError, ValueError, KeyError, TypeError, OverflowError) as error:
                logger.warning("fx provider: %s: %s", type(error).__name__, error)
            else:
                return found
        last = self._last.get((base, quote))
        if last and last.expires_at > datetime.now(UTC):
            return last
        raise Problem("fx-unavailable", "The FX provider does not answer; try again.")

    def convert(self, minor: int, base: str, quote: str, rate: str) -> int:
        """Minor units of `quote` for minor units of `base`, rounded half to even."""
        exact = Decimal(minor).scaleb(DECIMALS[quote] - DECIMALS[base]) * Decimal(rate)
        return int(exact.quantize(Decimal(1), rounding=self._rounding))

    async def _ask(self, base: str, quote: str) -> Rate:
        with tracing.outgoing("GET /rates") as headers:
            response = await self._client.get(f"/rates/{base}/{quote}", headers=headers)
        response.raise_for_status()
        answer = response.json()
        rate, quoted_at = str(answer["rate"]), datetime.fromisoformat(answer["as_of"]).astimezone(UTC)
        if not _RATE.fullmatch(rate):
            raise ValueError(f"rate {rate!r}")
        return Rate(rate, quoted_at, quoted_at + timedelta(seconds=float(answer["valid_for"])))
