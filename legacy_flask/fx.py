"""Exchange rates, asked for from the FX provider in the middle of the request. No retry, no memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import httpx2
from flask import Flask, current_app

from legacy_flask import tracing
from legacy_flask.config import Config
from legacy_flask.errors import Problem
from legacy_flask.money import DECIMALS

_RATE = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Rate:
    rate: str  # units of the quote currency for one of the base currency
    quoted_at: datetime
    expires_at: datetime


def init_app(app: Flask, config: Config) -> None:
    app.extensions["fx"] = httpx2.Client(base_url=config.fx_url, timeout=config.fx_timeout, trust_env=False)


def rate(base: str, quote: str) -> Rate:
    """Raises Problem (503) if the provider does not answer in time or not sensibly."""
    client: httpx2.Client = current_app.extensions["fx"]
    try:
        with tracing.outgoing("GET /rates") as headers:
            response = client.get(f"/rates/{base}/{quote}", headers=headers)
        response.raise_for_status()
        return _parse(response.json())
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, OverflowError) as error:
        current_app.logger.warning("fx provider: %s", error)
        raise Problem("fx-unavailable", "The FX provider does not answer; try again.") from error


def convert(minor: int, base: str, quote: str, rate: str) -> int:
    """Minor units of `quote` for minor units of `base`, rounded half to even."""
    exact = Decimal(minor).scaleb(DECIMALS[quote] - DECIMALS[base]) * Decimal(rate)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _parse(answer: dict[str, object]) -> Rate:
    rate, quoted_at = str(answer["rate"]), datetime.fromisoformat(str(answer["as_of"]))
    if not _RATE.fullmatch(rate):
        raise ValueError(f"rate {rate!r}")
    return Rate(rate, quoted_at, quoted_at + timedelta(seconds=float(str(answer["valid_for"]))))
