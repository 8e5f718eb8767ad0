"""Adding up what workers counted, and what happened over the last minute."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from proxy.core.evidence import stats
from proxy.core.forwarding import addresses
from proxy.core.traffic import intended
from proxy.core.traffic.trials import merge_units
from proxy.core.wire.messages import Labelled, Latency, OpenBreaker, Requests, Stats

WINDOW: Final = 60
"""Seconds that rates and quantiles look back."""

EMPTY: Final = Stats(
    connections=0,
    requests=[],
    latencies=[],
    proxy_errors=[],
    retries=[],
    outcome_unknown=[],
    dropped=[],
    breakers=[],
)

Series = tuple[str, str]
"""(endpoint, backend)"""


def merge(parts: Sequence[Stats]) -> Stats:
    """The sum. Of the same breaker in several workers the one that stays open longest is kept."""
    return Stats(
        connections=sum(part.connections for part in parts),
        requests=_merge_requests(line for part in parts for line in part.requests),
        latencies=_merge_latencies(line for part in parts for line in part.latencies),
        proxy_errors=_merge_labelled(line for part in parts for line in part.proxy_errors),
        retries=_merge_labelled(line for part in parts for line in part.retries),
        outcome_unknown=_merge_labelled(line for part in parts for line in part.outcome_unknown),
        dropped=_merge_labelled(line for part in parts for line in part.dropped),
        breakers=merge_breakers(line for part in parts for line in part.breakers),
        keyed=_merge_labelled(line for part in parts for line in part.keyed),
        unlisted=_merge_labelled(line for part in parts for line in part.unlisted),
        violations=_merge_labelled(line for part in parts for line in part.violations),
        own=_merge_requests(line for part in parts for line in part.own),
        addresses=addresses.merge(line for part in parts for line in part.addresses),
        full=min((part.full for part in parts if part.full >= 0), default=-1.0),
        units=merge_units(line for part in parts for line in part.units),
    )


def merge_breakers(lines: Iterable[OpenBreaker]) -> list[OpenBreaker]:
    """Of the same breaker in several workers the one that stays open longest."""
    breakers: dict[str, OpenBreaker] = {}
    for breaker in lines:
        kept = breakers.get(breaker.name)
        if kept is None or (breaker.state == "open", breaker.seconds) > (kept.state == "open", kept.seconds):
            breakers[breaker.name] = breaker
    return list(breakers.values())


def overlay(older: Stats, newer: Stats) -> Stats:
    """All of a worker's totals, from those known before and a message that may be partial."""
    if not newer.partial:
        return newer
    requests = {(line.endpoint, line.backend, line.reason, line.status): line for line in older.requests}
    requests |= {(line.endpoint, line.backend, line.reason, line.status): line for line in newer.requests}
    latencies = {(line.endpoint, line.backend): line for line in older.latencies}
    latencies |= {(line.endpoint, line.backend): line for line in newer.latencies}
    units = {line.endpoint: line for line in [*older.units, *newer.units]}
    return msgspec.structs.replace(
        newer,
        requests=list(requests.values()),
        latencies=list(latencies.values()),
        units=list(units.values()),
        partial=False,
    )


def _merge_requests(lines: Iterable[Requests]) -> list[Requests]:
    counts: Counter[tuple[str, str, str, int]] = Counter()
    for line in lines:
        counts[line.endpoint, line.backend, line.reason, line.status] += line.count
    return [Requests(*labels, count) for labels, count in counts.items()]


def _merge_labelled(lines: Iterable[Labelled]) -> list[Labelled]:
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        counts[line.first, line.second] += line.count
    return [Labelled(first, second, count) for (first, second), count in counts.items()]


def _merge_latencies(lines: Iterable[Latency]) -> list[Latency]:
    merged: dict[Series, Latency] = {}
    for line in lines:
        key = (line.endpoint, line.backend)
        kept = merged.get(key)
        merged[key] = (
            line
            if kept is None
            else Latency(*key, stats.add(kept.counts, line.counts), kept.total + line.total)
        )
    return list(merged.values())


class Figures(NamedTuple):
    """One endpoint on one backend over the window. Quantiles in seconds; None: nothing was counted.

    Requests are those that this backend was to answer: one that legacy answered instead of async is async's.
    """

    requests_per_second: float = 0.0
    error_rate: float | None = None  # share, 0-1, of 5xx, aborted (status 0), and saved by the other one
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


QUIET: Final = Figures()


class _Second:
    """What was counted in one second: (requests, errors) and non-empty histogram buckets."""

    __slots__ = ("buckets", "number", "requests")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests: dict[Series, list[int]] = {}
        self.buckets: dict[Series, Counter[int]] = {}


class Window:
    """The last WINDOW seconds, one slot each, of the endpoints that had traffic. Times in seconds."""

    def __init__(self, now: float) -> None:
        self._begin = now
        self._slots: deque[_Second] = deque(maxlen=WINDOW)

    def add(self, now: float, older: Stats, newer: Stats) -> None:
        """Counts what one worker did between two of its totals; `newer` may be partial."""
        slot = self._slot(int(now))
        before = intended.asked(older)
        for labels, total in intended.asked(newer).items():
            line = intended.of(labels, total - before.get(labels, 0))
            if line.requests > 0:
                pair = slot.requests.setdefault((line.endpoint, line.backend), [0, 0])
                pair[0] += line.requests
                pair[1] += line.requests if line.failed else 0
        counted = {(each.endpoint, each.backend): each.counts for each in older.latencies}
        for latency in newer.latencies:
            series = (latency.endpoint, latency.backend)
            old = counted.get(series)
            if latency.counts != old:  # in C; most endpoints are idle in most seconds
                buckets = slot.buckets.setdefault(series, Counter())
                for index, count in enumerate(latency.counts):
                    if new := count - (old[index] if old else 0):
                        buckets[index] += new

    def figures(self, now: float) -> dict[Series, Figures]:
        """Rates and quantiles of every endpoint and backend that had traffic in the window."""
        recent = [slot for slot in self._slots if slot.number > int(now) - WINDOW]
        seconds = min(float(WINDOW), max(1.0, now - self._begin))
        sums: dict[Series, list[int]] = {}
        buckets: dict[Series, list[int]] = {}
        for slot in recent:
            for series, (requests, errors) in slot.requests.items():
                pair = sums.setdefault(series, [0, 0])
                pair[0] += requests
                pair[1] += errors
            for series, sparse in slot.buckets.items():
                counts = buckets.setdefault(series, [0] * (len(stats.BOUNDS) + 1))
                for index, count in sparse.items():
                    counts[index] += count
        return {
            series: Figures(
                requests / seconds,
                errors / requests,
                *(stats.quantile(buckets.get(series, ()), q) for q in (0.5, 0.95, 0.99)),
            )
            for series, (requests, errors) in sums.items()
        }

    def _slot(self, number: int) -> _Second:
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Second(number))
        return self._slots[-1]
