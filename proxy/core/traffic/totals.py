"""Adding up what workers counted, and what happened over the last minute."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from proxy.core.evidence import stats
from proxy.core.forwarding import addresses
from proxy.core.traffic import intended
from proxy.core.traffic.failing import ANSWERED, LONG, SHORT, Tallied
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
        left=_merge_requests(line for part in parts for line in part.left),
        early=_merge_requests(line for part in parts for line in part.early),
        store=next((part.store for part in parts if part.store), ""),
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


class Course(NamedTuple):
    """How requests of one series fared. `lasting`: seconds since the first failure of the long tally."""

    short: Tallied
    long: Tallied
    lasting: float


class Keyed(NamedTuple):
    """Of keyed writes: seconds since one was refused for want of the store, and since one was served, None
    for none in the window; and how many were refused in the last SHORT seconds.
    """

    refused: float | None
    served: float | None
    number: int


class Fared(NamedTuple):
    """How requests have fared of late."""

    courses: dict[Series, Course]
    keyed: Keyed


UNEVENTFUL: Final = Fared({}, Keyed(None, None, 0))


class _Second:
    """What was counted in one second: (requests, errors) and non-empty histogram buckets."""

    __slots__ = ("buckets", "keyed", "number", "refused", "requests", "trouble")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests: dict[Series, list[int]] = {}
        self.buckets: dict[Series, Counter[int]] = {}
        self.trouble: dict[Series, Counter[str]] = {}  # by what it was; only of series that had some
        self.keyed = 0  # writes that the store answered
        self.refused = 0  # writes for which it did not


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
                if line.failed:
                    pair[1] += line.requests
                    what = line.reason if line.reason == "breaker" else line.outcome
                    slot.trouble.setdefault((line.endpoint, line.backend), Counter())[what] += line.requests
        _add_leaving(slot, "left", older.left, newer.left)
        _add_leaving(slot, "early", older.early, newer.early)
        slot.keyed += _served(newer) - _served(older)
        slot.refused += _refused(newer) - _refused(older)
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

    def fared(self, now: float) -> Fared:
        return Fared(self.courses(now), self.keyed(now))

    def courses(self, now: float) -> dict[Series, Course]:
        """Of each series that had any trouble in the window, and of no other."""
        recent = [slot for slot in self._slots if slot.number > int(now) - LONG]
        began: dict[Series, float] = {}
        for slot in recent:
            for series, trouble in slot.trouble.items():
                if trouble["error"] + trouble["saved"] + trouble["aborted"] > trouble["left"]:
                    began[series] = min(began.get(series, now), slot.number)
                elif trouble["breaker"]:
                    began.setdefault(series, now)  # none has failed yet
        latest = [slot for slot in recent if slot.number > int(now) - SHORT]
        return {
            series: Course(_tally(latest, series), _tally(recent, series), now - first)
            for series, first in began.items()
        }

    def keyed(self, now: float) -> Keyed:
        """How the store of idempotency keys has done."""
        recent = [slot for slot in self._slots if slot.number > int(now) - LONG]
        refused = max((slot.number for slot in recent if slot.refused > 0), default=None)
        served = max((slot.number for slot in recent if slot.keyed > 0), default=None)
        return Keyed(
            None if refused is None else float(int(now) - refused),
            None if served is None else float(int(now) - served),
            sum(slot.refused for slot in recent if slot.number > int(now) - SHORT),
        )

    def _slot(self, number: int) -> _Second:
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Second(number))
        return self._slots[-1]


def _add_leaving(slot: _Second, what: str, older: list[Requests], newer: list[Requests]) -> None:
    before = {(line.endpoint, line.backend, line.reason): line.count for line in older}
    for line in newer:
        count = line.count - before.get((line.endpoint, line.backend, line.reason), 0)
        if count > 0:
            series = (
                line.endpoint,
                intended.of((line.endpoint, line.backend, line.reason, 0), count).backend,
            )
            slot.trouble.setdefault(series, Counter())[what] += count


def _tally(slots: Iterable[_Second], series: Series) -> Tallied:
    requests, trouble = 0, Counter[str]()
    for slot in slots:
        pair = slot.requests.get(series)
        if pair is not None:
            requests += pair[0]
            trouble.update(slot.trouble.get(series, {}))
    left, early, diverted = trouble["left"], trouble["early"], trouble["breaker"]
    aborted = max(0, trouble["aborted"] - left - early)  # both are among those that were aborted
    return Tallied(
        requests - left,
        trouble["error"] + trouble["saved"] + aborted,
        trouble["saved"],
        diverted,
        early,
    )


def _served(totals: Stats) -> int:
    """Keyed writes of which the store knew what to do."""
    return sum(line.count for line in totals.keyed if line.second.removeprefix("would_") in ANSWERED)


def _refused(totals: Stats) -> int:
    """Keyed writes that were refused because the store did not answer."""
    return sum(
        line.count
        for line in totals.proxy_errors
        if (line.first, line.second) == ("proxy", "store_unavailable")
    )
