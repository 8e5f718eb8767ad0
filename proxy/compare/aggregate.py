"""Adds up what comparisons found until it is written to the store. No I/O; bounded."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
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
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import MAX_PATHS, OTHER, Counts, Gain, Observations, Observed
from proxy.core.comparison.units import UnitKind, as_map
from proxy.core.evidence.stats import bucket
from proxy.core.privacy.erasure import Matcher

MAX_SCOPES: Final = 500  # remembered
MAX_NAMES: Final = 100_000  # of paths and fields in all scopes together; those met longest ago are forgotten
FIRST: Final = 3  # samples of a path that are kept at once; after them one in SPACING seconds
SPACING: Final = 60.0
MAX_SAMPLES: Final = 20  # between two writes
MAX_SHAPES: Final = 100  # of parameters, told apart for one endpoint


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
        paths = sorted(tally.paths, key=lambda each: (each.first, each.mark)) if tally else []
        counts = {each.mark: each.counts for each in paths}
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
        self.units: dict[UnitKind, int] = {}  # a bit for each


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
        self._shapes: dict[str, set[str]] = {}  # of parameters, by endpoint
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

    def newest(self, scope: Scope) -> Scope:
        """The scope of a request without an answer, and so without a version: the newest with these rules."""
        newest = self._newest.get(scope.endpoint, scope)
        return newest if newest.rules == scope.rules else scope

    def suspects(self, scope: Scope, seen: Observed) -> frozenset[Mark]:
        """Differences for which both should be asked again (`Observations.suspects`). Call `learn` before."""
        return self._known[scope].observations.suspects(seen)

    def add(self, found: Finding) -> None:
        """Call `learn` before."""
        scope, now = found.scope, self._clock()
        self.learn(scope, None)  # it may have been forgotten while both were asked once more
        known = self._known[scope]
        self._known.move_to_end(scope)
        self._newest[scope.endpoint] = scope
        gained = self._gained.setdefault(scope, _Gained(now))
        gained.n += 1
        gained.m += found.observed.again is not None
        gained.last = now
        new = known.observations.add(found.observed)
        for mark, counts in new.marks.items():
            before = gained.paths.get(mark, PathCount(mark, Counts(), now, now))
            gained.paths[mark] = before._replace(counts=before.counts.plus(counts), last=now)
        gained.counts.update(counted(found, known.fields, new))
        gained.counts["asked", self._shape(scope.endpoint, found.asker.shape)] += 1
        for what, unit in units_of(found, new):
            gained.units[what] = gained.units.get(what, 0) | 1 << unit
        result = "different" if found.differences else "equal"
        self.results[scope.endpoint, "unanswered" if found.observed.unanswered else result] += 1
        self._make_room(known)

    def _shape(self, endpoint: str, shape: str) -> str:
        known = self._shapes.setdefault(endpoint, set())
        shape = label(shape)
        if shape not in known and len(known) >= MAX_SHAPES:
            return OTHER
        known.add(shape)
        return shape

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

    def live(self, endpoint: str, status: int, shape: str) -> None:
        """What a client was answered, and the shape of the parameters it asked with."""
        self._traffic[endpoint, "live", str(status)] += 1
        self._traffic[endpoint, "asked", self._shape(endpoint, shape)] += 1

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
    units = tuple(as_map(what, bits) for what, bits in gained.units.items())
    return Tally(scope, gained.n, gained.m, gained.first, gained.last, paths, counts, units)


def units_of(found: Finding, gain: Gain) -> Iterator[tuple[UnitKind, int]]:
    """Which distinct users and ids one comparison was of."""
    if found.asker.user is not None:
        yield "users", found.asker.user
        if gain.differs:
            yield "users differing", found.asker.user
    if found.asker.ids is not None:
        yield "ids", found.asker.ids


def counted(found: Finding, fields: set[str], gain: Gain) -> Counter[tuple[What, str]]:
    """What one comparison adds to the counts of its scope; `fields` are those known of that, added to."""
    counts: Counter[tuple[What, str]] = Counter({("status", str(found.status)): 1})
    counts.update(("outcome", outcome) for outcome in gain.outcomes)
    if found.asker.user is None:
        counts["outcome", "unkeyed"] += 1
        counts["outcome", "unkeyed differs"] += gain.differs
    if found.slowest:
        counts["slowest", found.slowest] += 1
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
