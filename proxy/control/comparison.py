"""Both backends beside each other, as JSON: what differs, and whether that is real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.evidence.significance import MeasuredDifference, SeriesCounts, error_rates, latencies
from proxy.core.settings import ASYNC, BACKENDS, LEGACY
from proxy.core.traffic.history import History
from proxy.core.traffic.totals import Series

QUANTILES: Final = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))


def differences(endpoint: str, recent: Mapping[Series, SeriesCounts]) -> dict[str, Any]:
    """Async minus legacy: `{"error_rate": {"verdict", "estimate", "low", "high"}, "p50_ms": ..., ...}`."""
    legacy, async_ = (recent.get((endpoint, backend), SeriesCounts()) for backend in (LEGACY, ASYNC))
    found = {"error_rate": _json(error_rates(legacy, async_), 1, 6)}
    for name, q in QUANTILES:
        found[name] = _json(latencies(legacy, async_, q), 1000, 3)
    return found


def last_hour(endpoint: str, history: History) -> dict[str, list[dict[str, Any]]]:
    """By backend and minute, oldest first; an empty list if there was no traffic at all."""
    return {
        backend: [
            {"requests": each.requests, "errors": each.errors, "p95_ms": round(each.p95 * 1000, 3)}
            for each in history.minutes((endpoint, backend))
        ]
        for backend in BACKENDS
    }


def _json(difference: MeasuredDifference, factor: float, digits: int) -> dict[str, Any]:
    interval = difference.interval
    if interval is None:
        return {"verdict": difference.verdict, "estimate": None, "low": None, "high": None}
    numbers = {key: round(value * factor, digits) for key, value in interval._asdict().items()}
    return {"verdict": difference.verdict, **numbers}
