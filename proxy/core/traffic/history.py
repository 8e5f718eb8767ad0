"""The last hour by the minute, and the sample that the two backends are compared by.

That sample is of the whole step: since the weight or a version changed last. On a quiet endpoint waiting
helps.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from proxy.core.evidence import stats
from proxy.core.evidence.significance import SeriesCounts
from proxy.core.settings import BACKENDS
from proxy.core.traffic import intended
from proxy.core.traffic.totals import Series
from proxy.core.wire.messages import Stats

MINUTES: Final = 60
MAX_SERIES: Final = 20_000  # of 0.7 KB each; what comes beyond them has no sparkline


class Minute(NamedTuple):
    """One minute of one series. `p95` in seconds, 0 if nothing was counted."""

    requests: int
    errors: int
    p95: float


class _Ring:
    """MINUTES slots of three numbers, addressed by the minute's number."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = array("f", bytes(4 * 3 * MINUTES))

    def put(self, minute: int, value: Minute) -> None:
        start = 3 * (minute % MINUTES)
        self.values[start : start + 3] = array("f", value)

    def get(self, minute: int) -> Minute:
        requests, errors, p95 = self.values[3 * (minute % MINUTES) : 3 * (minute % MINUTES) + 3]
        return Minute(int(requests), int(errors), p95)


class History:
    """Fed with totals once a minute. Times in seconds of any clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._minute = int(now // 60)
        self._rings: dict[Series, _Ring] = {}
        self._last: Mapping[Series, SeriesCounts] = {}
        self._start = now
        self._bases: dict[Series, SeriesCounts] = {}  # what was counted when the step began
        self._began: dict[str, float] = {}  # when it did, by endpoint
        self._keys: dict[tuple[str, str], Hashable] = {}  # what makes it, by endpoint and by who says so

    def is_due(self, now: float) -> bool:
        return int(now // 60) != self._minute

    def add(self, now: float, totals: Stats) -> None:
        """Closes the minutes up to `now`. Call it when `is_due`."""
        current = samples(totals)
        minute = int(now // 60)
        for missed in range(max(self._minute + 1, minute - MINUTES), minute):
            for ring in self._rings.values():
                ring.put(missed, Minute(0, 0, 0.0))
        for series, sample in current.items():
            known = self._rings.get(series) or self._new(series)
            if known is not None:
                known.put(self._minute, _minute(minus(sample, self._last.get(series))))
        self._minute, self._last = minute, current

    def restart(self, now: float, totals: Stats) -> None:
        """What was counted until now is not attributed to any minute."""
        self._last = samples(totals)
        self._bases = dict(self._last)
        self._start, self._began = now, {}

    def step(self, now: float, totals: Stats, source: str, keys: Mapping[str, Hashable]) -> None:
        """The evidence of an endpoint begins anew where its key is another than before.

        `source` says who knows the keys: the configuration knows the weights, comparisons the versions.
        """
        changed = [name for name, key in keys.items() if self._keys.get((name, source), key) != key]
        self._keys = {place: key for place, key in self._keys.items() if place[1] != source}
        self._keys.update({(name, source): key for name, key in keys.items()})
        if not changed:
            return
        current = samples(totals)
        for name in changed:
            self._began[name] = now
            for backend in BACKENDS:
                self._bases[name, backend] = current.get((name, backend), SeriesCounts())

    def minutes(self, series: Series) -> list[Minute]:
        """The last hour, oldest first; empty if the series had no traffic in it."""
        ring = self._rings.get(series)
        if ring is None:
            return []
        return [ring.get(minute) for minute in range(self._minute - MINUTES + 1, self._minute)]

    def recent(self, totals: Stats) -> dict[Series, SeriesCounts]:
        """What was counted since the step of each endpoint began."""
        return {series: minus(sample, self._bases.get(series)) for series, sample in samples(totals).items()}

    def began(self, endpoint: str) -> float:
        """When its step did."""
        return self._began.get(endpoint, self._start)

    def _new(self, series: Series) -> _Ring | None:
        if len(self._rings) >= MAX_SERIES:
            return None
        ring = self._rings[series] = _Ring()
        return ring


def samples(totals: Stats) -> dict[Series, SeriesCounts]:
    """Requests, errors (5xx, aborted, saved) and histogram by endpoint and the backend that was to answer."""
    requests: Counter[Series] = Counter()
    errors: Counter[Series] = Counter()
    for each in intended.intended(totals):
        requests[each.endpoint, each.backend] += each.requests
        if each.failed:
            errors[each.endpoint, each.backend] += each.requests
    counts = {(line.endpoint, line.backend): line.counts for line in totals.latencies}
    return {
        series: SeriesCounts(number, errors[series], counts.get(series, ()))
        for series, number in requests.items()
    }


def minus(newer: SeriesCounts, older: SeriesCounts | None) -> SeriesCounts:
    if older is None:
        return newer
    counts = stats.subtract(newer.counts, older.counts) if older.counts and newer.counts else newer.counts
    return SeriesCounts(newer.requests - older.requests, newer.errors - older.errors, counts)


def _minute(sample: SeriesCounts) -> Minute:
    return Minute(sample.requests, sample.errors, stats.quantile(sample.counts, 0.95) or 0.0)
