"""Decides whether the two backends differ in errors or times, or show only noise, however often one looks.

Every answer is an interval for *async minus legacy* that holds at 99 % at all times together: a confidence
sequence, not an interval for one look. The page is open all day, and with intervals for single looks there
would be false alarms again and again. An interval without zero is a real difference, and one with zero is
noise. If there is too little data to tell, the answer says how much is missing.

Sources: Wilson (1927) and Newcombe (1998, method 10) for error rates; for quantiles the binomial ranks of
order statistics, and the intervals of both sides combined as in Zou and Donner (2008); in place of the
normal distribution's 2.58 the boundary of Robbins' normal mixture, as in Waudby-Smith et al. (Time-uniform
central limit theory and asymptotic confidence sequences).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, hypot, log, sqrt
from typing import Final, Literal, NamedTuple

from proxy.core.evidence.stats import BOUNDS, quantile

ALPHA: Final = 0.01  # two-sided, over all looks
TUNED: Final = 0.01  # 1 / requests for which the boundary is about the narrowest
MIN_REQUESTS: Final = 50  # on each side, for an error rate
MIN_ERRORS: Final = 3  # on one side; fewer are an incident, not a rate
MIN_BEYOND: Final = 8  # on each side, requests expected beyond a quantile

Verdict = Literal["better", "worse", "noise", "too little data"]
"""Of async, as seen from legacy."""


class Interval(NamedTuple):
    """An estimate and the 99 % interval around it."""

    estimate: float
    low: float
    high: float


class MeasuredDifference(NamedTuple):
    """Async minus legacy. `interval` is None exactly if the verdict is "too little data".

    `missing` are the requests of legacy and of async that are needed for any interval at all.
    """

    verdict: Verdict
    interval: Interval | None = None
    missing: tuple[int, int] = (0, 0)


class SeriesCounts(NamedTuple):
    """What one backend did for one endpoint: `counts` is a histogram over stats.BOUNDS."""

    requests: int = 0
    errors: int = 0
    counts: Sequence[int] = ()


def boundary(requests: int) -> float:
    """In standard deviations: the normal mixture, which a random walk crosses at any time with chance
    ALPHA."""
    grown = requests * TUNED
    return sqrt((1 + 1 / grown) * log((grown + 1) / ALPHA**2))


def wilson(errors: int, requests: int) -> Interval:
    """The error rate, 0 to 1, with Wilson's score interval."""
    rate = errors / requests
    z = boundary(requests)
    z2 = z * z
    centre = (rate + z2 / (2 * requests)) / (1 + z2 / requests)
    half = z / (1 + z2 / requests) * sqrt(rate * (1 - rate) / requests + z2 / (4 * requests * requests))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def error_rates(legacy: SeriesCounts, async_: SeriesCounts) -> MeasuredDifference:
    """The difference of error rates: 0.01 is one percentage point more on async."""
    if min(legacy.requests, async_.requests) < MIN_REQUESTS:
        return _too_little(legacy.requests, async_.requests, MIN_REQUESTS)
    found = _difference(wilson(legacy.errors, legacy.requests), wilson(async_.errors, async_.requests))
    return found if max(legacy.errors, async_.errors) >= MIN_ERRORS else found._replace(verdict="noise")


def latencies(legacy: SeriesCounts, async_: SeriesCounts, q: float) -> MeasuredDifference:
    """The difference of the q-quantiles (0-1), in seconds."""
    theirs, ours = order_interval(legacy.counts, q), order_interval(async_.counts, q)
    if theirs is None or ours is None:
        return _too_little(sum(legacy.counts), sum(async_.counts), NEEDED.get(q) or needed(q))
    return _difference(theirs, ours)


def order_interval(counts: Sequence[int], q: float) -> Interval | None:
    """The q-quantile with the interval between two order statistics; None if there are too few of them.

    A histogram knows the ranks only up to its buckets, so the interval reaches out to the buckets' edges.
    """
    total = sum(counts)
    ranks = _ranks(total, q)
    estimate = quantile(counts, q)
    if ranks is None or estimate is None:
        return None
    first, last = ranks
    low, _ = _edges(counts, first)
    _, high = _edges(counts, last)
    return Interval(estimate, low, high)


def _ranks(total: int, q: float) -> tuple[int, int] | None:
    """Of the order statistics around the q-quantile; None if there are none so far out."""
    if total * min(q, 1 - q) < MIN_BEYOND:
        return None
    spread = boundary(total) * sqrt(total * q * (1 - q))
    first, last = floor(total * q - spread), ceil(total * q + spread) + 1
    return None if first < 1 or last > total else (first, last)


def needed(q: float) -> int:
    """Requests of one side that give an interval for its q-quantile."""
    total = 1
    while _ranks(total, q) is None:
        total += 1 + total // 50
    return total


NEEDED: Final = {q: needed(q) for q in (0.5, 0.95, 0.99)}


def _too_little(legacy: int, async_: int, least: int) -> MeasuredDifference:
    return MeasuredDifference("too little data", missing=(max(0, least - legacy), max(0, least - async_)))


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
