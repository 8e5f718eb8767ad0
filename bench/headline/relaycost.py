"""What the relay itself adds to a round trip."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg

from bench.headline.parts import Parts

TRIPS = 400


def relay_cost(parts: Parts, waits: Sequence[float]) -> dict[str, Any]:
    """Milliseconds of `SELECT 1`: straight, through the relay without a wait, and beyond each wait."""
    through = parts.database.through(parts.relay.ports["postgres"])
    parts.relay.wait(0)
    with psycopg.connect(parts.database.url, autocommit=True) as straight:
        found: dict[str, Any] = {"straight": _trips(straight, TRIPS)}
    with psycopg.connect(through, autocommit=True) as relayed:
        found["relayed"] = _trips(relayed, TRIPS)
        for wait in waits:
            parts.relay.wait(wait)
            took = _trips(relayed, 20)
            found[f"beyond {wait:g}"] = {name: round(one - wait, 3) for name, one in took.items()}
    parts.relay.wait(0)
    return found


def _trips(connection: psycopg.Connection[Any], count: int) -> dict[str, float]:
    took = []
    for _ in range(count):
        start = time.perf_counter()
        connection.execute("SELECT 1")
        took.append(1e3 * (time.perf_counter() - start))
    took.sort()
    return {"p50": round(took[count // 2], 3), "p99": round(took[int(count * 0.99)], 3)}
