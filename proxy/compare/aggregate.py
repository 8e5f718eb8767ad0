"""Adds up what comparisons found until it is written to the store. No I/O; bounded."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from proxy.compare.judging import Finding
from proxy.core.comparison.comparisons import (
    MAX_FIELDS,
    Count,
    PathCount,
    Sample,
    Scope,
    Seen,
    Tally,
    Traffic,
    What,
    label,
)
from proxy.core.comparison.differences import Difference
from proxy.core.comparison.noise import MAX_PATHS, OTHER, Counts, Mark, Observations
from proxy.core.evidence.stats import bucket
from proxy.core.privacy.erasure import Matcher

MAX_SCOPES: Final = 500  # remembered
MAX_NAMES: Final = 100_000  # of paths and fields in all scopes together; those met longest ago are forgotten
FIRST: Final = 3  # samples of a path that are kept at once; after them one in SPACING seconds
SPACING: Final = 60.0
MAX_SAMPLES: Final = 20  # between two writes


class Batch(NamedTuple):
    """What is to be added to the store."""

    tallies: list[Tally]
    traffic: list[Traffic]
    samples: list[Sample]

    def __bool__(self) -> bool:
        return any(self)


class _Known:
    """What is known of one scope, also from the store."""

    def __init__(self, tally: Tally | None) -> None:
        counts = {each.mark: each.counts for each in tally.paths} if tally else {}
        self.observations = Observations(tally.n, tally.m, counts) if tally else Observations()
        self.fields = {each.label for each in tally.counts if each.what == "field"} if tally else set()
        self.kept: dict[str, tuple[int, float]] = {}  # by path: samples, and when the last was taken
        self.counted = 0  # of its names, when they were counted last

    def names(self) -> int:
        return len(self.observations.counts) + len(self.fields) + len(self.kept)

    def place(self, path: str) -> str:
        """Under which name samples of this path are counted."""
        return path if path in self.kept or len(self.kept) < MAX_PATHS else OTHER


class _Gained:
    """What one scope gained since the last write."""

    def __init__(self, now: float) -> None:
        self.n = self.m = 0
        self.first = self.last = now
        self.paths: dict[Mark, PathCount] = {}
        self.counts: Counter[tuple[What, str]] = Counter()


class Aggregate:
    """`results` are totals by endpoint and result; `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[Scope, _Known] = OrderedDict()
        self._names = 0
        self._newest: dict[str, Scope] = {}
        self._gained: dict[Scope, _Gained] = {}
        self._traffic: Counter[tuple[str, Seen, str]] = Counter()
        self._samples: list[Sample] = []
        self.results: Counter[tuple[str, str]] = Counter()

    def knows(self, scope: Scope) -> bool:
        return scope in self._known

    def learn(self, scope: Scope, tally: Tally | None) -> None:
        """What the store has of a scope that is met for the first time; None: nothing, or no answer."""
        if scope not in self._known:
            self._known[scope] = _Known(tally)
            self._make_room(self._known[scope])

    def seen(self, endpoint: str) -> Observations:
        """Of the newest scope of an endpoint."""
        known = self._known.get(self._newest.get(endpoint, Scope("", "", "", "")))
        return Observations() if known is None else known.observations

    def suspects(self, scope: Scope, differences: Collection[Difference]) -> set[str]:
        """Paths on which both should be asked once more (`Observations.suspects`). `learn` comes before."""
        return self._known[scope].observations.suspects(differences)

    def add(self, found: Finding) -> None:
        """`learn` comes before."""
        scope, now = found.scope, self._clock()
        self.learn(scope, None)  # it may have been forgotten while both were asked once more
        known = self._known[scope]
        self._known.move_to_end(scope)
        self._newest[scope.endpoint] = scope
        gained = self._gained.setdefault(scope, _Gained(now))
        gained.n += 1
        gained.m += found.again is not None
        gained.last = now
        for mark, counts in known.observations.add(found.differences, found.again, found.gone).items():
            before = gained.paths.get(mark, PathCount(mark, Counts(), now, now))
            gained.paths[mark] = before._replace(counts=before.counts.plus(counts), last=now)
        gained.counts.update(counted(found, known.fields))
        self.results[scope.endpoint, "different" if found.differences else "equal"] += 1
        self._make_room(known)

    def wants_sample(self, scope: Scope, paths: Collection[str]) -> bool:
        """Whether a sample that differs on these paths is worth keeping, going by those kept before."""
        known, now = self._known[scope], self._clock()
        if len(self._samples) >= MAX_SAMPLES:
            return False
        kept = (known.kept.get(known.place(path), (0, 0.0)) for path in paths)
        return any(number < FIRST or now - last >= SPACING for number, last in kept)

    def keep(self, sample: Sample) -> None:
        known = self._known[sample.scope]
        for path in map(known.place, sample.paths):
            number, _ = known.kept.get(path, (0, 0.0))
            known.kept[path] = (number + 1, sample.time)
        self._samples.append(sample)

    def drop(self, matcher: Matcher) -> int:
        """Samples that match are not kept; returns how many."""
        before = len(self._samples)
        self._samples = [each for each in self._samples if not matcher.matches(each)]
        return before - len(self._samples)

    def _make_room(self, newest: _Known) -> None:
        """The store has what is forgotten here."""
        self._names += newest.names() - newest.counted
        newest.counted = newest.names()
        while len(self._known) > 1 and (len(self._known) > MAX_SCOPES or self._names > MAX_NAMES):
            _, oldest = self._known.popitem(last=False)
            self._names -= oldest.counted

    def skip(self, endpoint: str, reason: str, number: int = 1) -> None:
        self._traffic[endpoint, "skipped", reason] += number
        self.results[endpoint, f"skipped: {reason}"] += number

    def live(self, endpoint: str, status: int) -> None:
        self._traffic[endpoint, "live", str(status)] += 1

    def take(self) -> Batch:
        """Everything since the last call."""
        now = self._clock()
        tallies = [_tally(scope, gained) for scope, gained in self._gained.items()]
        traffic = [Traffic(*key, number, now) for key, number in self._traffic.items()]
        batch = Batch(tallies, traffic, self._samples)
        self._gained, self._traffic, self._samples = {}, Counter(), []
        return batch


def _tally(scope: Scope, gained: _Gained) -> Tally:
    counts = tuple(Count(what, text, number) for (what, text), number in gained.counts.items())
    paths = tuple(gained.paths.values())
    return Tally(scope, gained.n, gained.m, gained.first, gained.last, paths, counts)


def counted(found: Finding, fields: set[str]) -> Counter[tuple[What, str]]:
    """What one comparison adds to the counts of its scope; `fields` are those known of that, added to."""
    counts: Counter[tuple[What, str]] = Counter({("status", str(found.status)): 1})
    if found.legacy is not None:
        counts["legacy seconds", str(bucket(found.legacy))] += 1
    if found.async_ is not None:
        counts["async seconds", str(bucket(found.async_))] += 1
    for rule, number in found.hidden.items():
        counts["hidden", label(rule)] += number
    for field in _bounded(found.fields, fields):
        counts["field", field] += 1
    return counts


def _bounded(fields: Collection[str], known: set[str]) -> set[str]:
    """Fields by their name, those beyond MAX_FIELDS of the scope as OTHER."""
    found = set()
    for field in map(label, fields):
        if field in known or len(known) < MAX_FIELDS:
            known.add(field)
            found.add(field)
        else:
            found.add(OTHER)
    return found
