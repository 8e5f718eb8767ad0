"""Evidence of comparisons, written through the real store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import date

from proxy.core.comparison.comparisons import (
    Count,
    PathCount,
    Sample,
    Scope,
    Shown,
    Side,
    Tally,
    Traffic,
    settings_hash,
)
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.core.routing.snapshot import Snapshot
from proxy.store import comparisons

LEGACY = (
    '{"id":"acc_1","name":"Ada <b>","balance":{"amount":"1250.10","currency":"EUR"},'
    '"updated_at":"2026-01-01T00:00:00Z","tags":["a","b","c"]}'
)
ASYNC = LEGACY.replace("1250.10", "1250.1").replace("00:00Z", "00:01Z")
FAULT = "balance.amount"


def scope_of(snapshot: Snapshot, endpoint: str, async_: str = "2.0.1") -> Scope:
    (listed,) = [each for each in snapshot.endpoints if each.name == endpoint]
    return Scope(endpoint, "1.4.0", async_, settings_hash(listed.compare, date.today()))


def differing(scope: Scope, n: int = 4321, differed: int = 37) -> Tally:
    """One real fault, one noisy field, and gaps."""
    now = time.time()
    return Tally(
        scope,
        n,
        2000,
        now - 86_400,
        now,
        (
            PathCount(Mark(FAULT), Counts(differed, 20, 0, 0, lasting=differed), now - 7200, now - 60),
            PathCount(Mark("updated_at"), Counts(3100, 150, 160, 1400), now - 86_400, now),
        ),
        (
            Count("status", "200", n - 21),
            Count("status", "404", 21),
            Count("field", "nickname", 4),
            Count("field", "id", n),
            Count("legacy seconds", "60", n),
            Count("async seconds", "40", n),
            Count("outcome", "differs", differed),
            Count("outcome", "unkeyed", n),
            Count("outcome", "unkeyed differs", differed),
        ),
    )


def equal(scope: Scope, n: int = 5000, ago: float = 0) -> Tally:
    last = time.time() - ago
    return Tally(
        scope, n, 1000, last - 86_400, last, (), (Count("status", "200", n), Count("outcome", "unkeyed", n))
    )


def sample(scope: Scope, number: int, target: str = "/a/acc_1?expand=owner's") -> Sample:
    headers = (("host", "api"), ("authorization", "redacted:5f1c"), ("x-user-id", "ada"))
    fields = {"content-type": "application/json"}
    shown = Shown(FAULT, "value", '"1250.10"', '"1250.1"', ("balance", "amount"))
    noise = Shown("updated_at", "value", '"2026-01-01T00:00:00Z"', '"2026-01-01T00:00:01Z"', ("updated_at",))
    return Sample(
        f"s{number}",
        scope,
        time.time() - number,
        "GET",
        target,
        headers,
        Side(200, fields, LEGACY, False, len(LEGACY), 0.0124),
        Side(200, fields, ASYNC, False, len(ASYNC), 0.0031),
        (noise, shown),
    )


def traffic(endpoint: str) -> list[Traffic]:
    now = time.time()
    return [
        Traffic(endpoint, "live", "200", 90_000, now),
        Traffic(endpoint, "live", "410", 12, now),
        Traffic(endpoint, "skipped", "rate", 12, now),
    ]


def plant(
    url: str, tallies: Sequence[Tally], traffic: Sequence[Traffic] = (), samples: Sequence[Sample] = ()
) -> None:
    async def write() -> None:
        async with comparisons.opened(url) as engine, engine.begin() as connection:
            await comparisons.add(connection, tallies, traffic, samples)

    asyncio.run(write())
