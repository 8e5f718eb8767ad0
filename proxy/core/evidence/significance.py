"""Is what one sees between the two backends a difference, or noise?

Every answer is an interval at 99 % for *async minus legacy*: with many endpoints looked at often, 95 % would
cry wolf twice an hour. An interval without zero is a real difference; one with zero is noise, or there is too
little data to tell. Sources: Wilson (1927) and Newcombe (1998, method 10) for error rates; for quantiles the
binomial ranks of order statistics, and the intervals of both sides combined as in Zou and Donner (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, hypot, sqrt
from typing import Final, Literal, NamedTuple

from proxy.core.evidence.stats import BOUNDS, quantile

Z: Final = 2.5758  # 99 %, two-sided
MIN_REQUESTS: Final = 50  # on each side, for an error rate
MIN_ERRORS: Final = 3  # on one side; fewer are an incident, not a rate
MIN_BEYOND: Final = 8  # on each side, requests expected beyond a quantile: 800 requests for p99

Verdict = Literal["better", "worse", "noise", "too little data"]
"""Of async, as seen from legacy."""


class Interval(NamedTuple):
    """An estimate and the 99 % interval around it."""

    estimate: float
    low: float
    high: float


class MeasuredDifference(NamedTuple):
    """Async minus legacy. `interval` is None exactly if the verdict is "too little data"."""

    verdict: Verdict
    interval: Interval | None = None


TOO_LITTLE: Final = MeasuredDifference("too little data")


class SeriesCounts(NamedTuple):
    """What one backend did for one endpoint: `counts` is a histogram over stats.BOUNDS."""

    requests: int = 0
    errors: int = 0
    counts: Sequence[int] = ()


def wilson(errors: int, requests: int) -> Interval:
    """The error rate, 0 to 1, with Wilson's score interval."""
    rate = errors / requests
    z2 = Z * Z
    centre = (rate + z2 / (2 * requests)) / (1 + z2 / requests)
    half = Z / (1 + z2 / requests) * sqrt(rate * (1 - rate) / requests + z2 / (4 * requests * requests))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def error_rates(legacy: SeriesCounts, async_: SeriesCounts) -> MeasuredDifference:
    """The difference of error rates: 0.01 is one percentage point more on async."""
    if min(legacy.requests, async_.requests) < MIN_REQUESTS:
        return TOO_LITTLE
    found = _difference(wilson(legacy.errors, legacy.requests), wilson(async_.errors, async_.requests))
    return found if max(legacy.errors, async_.errors) >= MIN_ERRORS else found._replace(verdict="noise")


def latencies(legacy: SeriesCounts, async_: SeriesCounts, q: float) -> MeasuredDifference:
    """The difference of the q-quantiles (0-1), in seconds."""
    theirs, ours = order_interval(legacy.counts, q), order_interval(async_.counts, q)
    return TOO_LITTLE if theirs is None or ours is None else _difference(theirs, ours)


def order_interval(counts: Sequence[int], q: float) -> Interval | None:
    """The q-quantile with the interval between two order statistics; None if there are too few of them.

    A histogram knows the ranks only up to its buckets, so the interval reaches out to the buckets' edges.
    """
    total = sum(counts)
    if total * min(q, 1 - q) < MIN_BEYOND:
        return None
    spread = Z * sqrt(total * q * (1 - q))
    first, last = floor(total * q - spread), ceil(total * q + spread) + 1
    estimate = quantile(counts, q)
    if first < 1 or last > total or estimate is None:
        return None
    low, _ = _edges(counts, first)
    _, high = _edges(counts, last)
    return Interval(estimate, low, high)


def _edges(counts: Sequence[int], rank: int) -> tuple[float, float]:
    """Lower and upper edge of the bucket that holds the rank-th smallest, counted from 1."""
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return (BOUNDS[index - 1] if index else 0.0), BOUNDS[min(index, len(BOUNDS) - 1)]
    return BOUNDS[-1], BOUNDS[-1]


def _difference(legacy: Interval, async_: Interval) -> MeasuredDifference:
    estimate = async_.estimate - legacy.estimate
    low = estimate - hypot(async_.estimate - async_.low, legacy.high - legacy.estimate)
    high = estimate + hypot(async_.high - async_.estimate, legacy.estimate - legacy.low)
    verdict: Verdict = "worse" if low > 0 else "better" if high < 0 else "noise"
    return MeasuredDifference(verdict, Interval(estimate, low, high))
