"""What a replay has found so far, in bounded size, and the file from which a stopped replay resumes."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from proxy.compare.aggregate import MAX_SHAPES, counted, units_of
from proxy.compare.judging import Finding
from proxy.core.comparison.comparisons import (
    Count,
    PathCount,
    Report,
    Sample,
    Scope,
    Seen,
    Tally,
    Traffic,
    What,
    label,
    report,
)
from proxy.core.comparison.differences import Difference, Kind
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Observations, Observed
from proxy.core.comparison.parity import PARITY
from proxy.core.comparison.units import UnitKind, as_map
from proxy.core.documents.exactjson import Json, text_of

MAX_EXAMPLES: Final = 3  # of one path
MAX_SAMPLES: Final = 50  # of one endpoint, for proposals of rules
MAX_BYTES: Final = 32 * 1024 * 1024  # of all samples, about
MAX_SCOPES: Final = 1000  # pairs of versions, over all endpoints; later ones count as the version OTHER
MAX_VALUE: Final = 500  # characters of one value
OTHER: Final = "..."
_HEAD: Final = 1 << 20  # bytes of a file that tell it from another of the same size


class Example(NamedTuple):
    """A difference as it was seen. Values are JSON text, cut; None: this side has none."""

    path: str
    kind: Kind
    method: str
    target: str
    legacy: str | None
    async_: str | None


class Replayed(NamedTuple):
    """One request that both answered. `recorded` is the status that the client got then, None if unknown.

    `moved`: paths that were left out of the differences, since legacy's second answer differed there too.
    """

    finding: Finding
    method: str
    target: str
    recorded: int | None = None
    moved: frozenset[str] = frozenset()
    unlike: bool = False  # legacy's status is another than was recorded
    once: bool = False  # legacy was not asked again: that changes something


class _ScopeCounts:
    """The counts of one scope."""

    def __init__(self, tally: Tally | None = None) -> None:
        paths = sorted(tally.paths, key=lambda each: (each.first, each.mark)) if tally else []
        self.observations = Observations(
            tally.n if tally else 0, tally.m if tally else 0, {each.mark: each.counts for each in paths}
        )
        self.seen: dict[Mark, tuple[float, float]] = {each.mark: (each.first, each.last) for each in paths}
        self.counts: Counter[tuple[What, str]] = Counter(
            {(each.what, each.label): each.number for each in (tally.counts if tally else ())}
        )
        self.fields = {text for what, text in self.counts if what == "field"}
        self.units: dict[UnitKind, int] = {
            each.what: int.from_bytes(each.map, "little") for each in (tally.units if tally else ())
        }
        self.first = tally.first if tally else 0.0
        self.last = tally.last if tally else 0.0

    def add(self, found: Finding, now: float) -> None:
        gain = self.observations.add(found.observed)
        for mark in gain.marks:
            self.seen[mark] = self.seen.get(mark, (now, now))[0], now
        self.counts.update(counted(found, self.fields, gain))
        shape = label(found.asker.shape)
        known = ("asked", shape) in self.counts or sum(
            what == "asked" for what, _ in self.counts
        ) < MAX_SHAPES
        self.counts["asked", shape if known else OTHER] += 1
        for what, unit in units_of(found, gain):
            self.units[what] = self.units.get(what, 0) | 1 << unit
        self.first, self.last = self.first or now, now

    def tally(self, scope: Scope) -> Tally:
        seen, made = self.observations, self.observations.counts
        paths = (PathCount(mark, made[mark], *self.seen[mark]) for mark in made)
        counts = (Count(what, label, count) for (what, label), count in self.counts.items())
        units = tuple(as_map(what, bits) for what, bits in self.units.items())
        return Tally(scope, seen.n, seen.m, self.first, self.last, tuple(paths), tuple(counts), units)


class Saved(msgspec.Struct):
    """The state file. Requests up to `through` are done, and those in `beyond`."""

    of: str
    through: int
    beyond: list[int]
    tallies: list[Tally]
    traffic: list[Traffic]
    moved: list[tuple[str, int]]
    unlike: list[tuple[str, int]]
    once: list[tuple[str, int]]
    unreadable: list[tuple[tuple[str, str], int]]
    missing: list[tuple[str, int]]
    examples: list[tuple[str, list[Example]]]


class ReplayResults:
    """Counts, and up to MAX_EXAMPLES of each path."""

    def __init__(self) -> None:
        self.through = 0
        self.skipped: Counter[tuple[str, str]] = Counter()  # endpoint ("" if none), reason
        self.missing: Counter[str] = Counter()  # requests without an answer, by endpoint
        self.recorded: Counter[tuple[str, str]] = Counter()  # endpoint, status that a client got
        self.unlike: Counter[str] = Counter()  # legacy's status was another than recorded, by endpoint
        self.moved: Counter[str] = Counter()  # requests with paths that moved meanwhile, by endpoint
        self.unreadable: Counter[tuple[str, str]] = Counter()  # endpoint, why bodies were not comparable
        self.once: Counter[str] = Counter()  # compared with each backend asked once only, by endpoint
        self.examples: dict[str, list[Example]] = {}  # by endpoint
        self.samples: dict[str, list[Sample]] = {}  # by endpoint; those of this run
        self._bytes = 0
        self._beyond: set[int] = set()
        self._scopes: dict[Scope, _ScopeCounts] = {}

    def is_done(self, number: int) -> bool:
        return number <= self.through or number in self._beyond

    def done(self, number: int) -> None:
        self._beyond.add(number)
        while self.through + 1 in self._beyond:
            self.through += 1
            self._beyond.remove(self.through)

    @property
    def count(self) -> int:
        """Requests that are done."""
        return self.through + len(self._beyond)

    @property
    def compared(self) -> int:
        return sum(each.observations.n for each in self._scopes.values())

    def add(self, found: Replayed) -> None:
        """`found` is redacted, as it is stored and reported. What is not comparable is not equal."""
        scope, why = found.finding.scope, found.finding.unreadable
        if why:
            self.unreadable[scope.endpoint, why] += 1
            if not found.finding.differences:
                return
        if scope not in self._scopes and len(self._scopes) >= MAX_SCOPES:
            scope = scope._replace(legacy=OTHER, async_=OTHER)
        self._scopes.setdefault(scope, _ScopeCounts()).add(found.finding, time.time())
        self.unlike[scope.endpoint] += found.unlike
        self.once[scope.endpoint] += found.once
        if found.recorded is not None:
            self.recorded[scope.endpoint, str(found.recorded)] += 1
        self.moved[scope.endpoint] += bool(found.moved)
        examples = self.examples.setdefault(scope.endpoint, [])
        for each in found.finding.differences:
            if sum(known.path == each.path for known in examples) < MAX_EXAMPLES and len(examples) < 1000:
                examples.append(_example(each, found.method, found.target))

    def wants_sample(self, endpoint: str, paths: Collection[str]) -> bool:
        """Whether one with differences on these paths would show something more."""
        kept = self.samples.get(endpoint, ())
        if not paths or len(kept) >= MAX_SAMPLES or self._bytes >= MAX_BYTES:
            return False
        return any(sum(path in each.paths for each in kept) < MAX_EXAMPLES for path in paths)

    def keep(self, sample: Sample) -> None:
        self.samples.setdefault(sample.scope.endpoint, []).append(sample)
        self._bytes += sum(len(each.body or "") for each in (sample.legacy, sample.async_))

    def suspects(self, scope: Scope, seen: Observed) -> frozenset[Mark]:
        """Differences for which both should be asked again."""
        known = self._scopes.get(scope)
        return (Observations() if known is None else known.observations).suspects(seen)

    def reports(self, limits: Mapping[str, float] = {}) -> list[Report]:
        """By endpoint and versions; `limits` are `compare.parity` by endpoint."""
        traffic = self._traffic()
        return [
            report(each.tally(scope), traffic, limits.get(scope.endpoint, PARITY))
            for scope, each in sorted(self._scopes.items())
        ]

    def _traffic(self) -> list[Traffic]:
        kinds: tuple[tuple[Seen, Counter[tuple[str, str]]], ...]
        kinds = ("skipped", self.skipped), ("live", self.recorded)
        return [
            Traffic(endpoint, what, label, number, 0.0)
            for what, counts in kinds
            for (endpoint, label), number in counts.items()
        ]

    def save(self, path: Path, of: str) -> None:
        """Replaces the file as a whole. Raises OSError."""
        saved = Saved(
            of,
            self.through,
            sorted(self._beyond),
            [each.tally(scope) for scope, each in self._scopes.items()],
            self._traffic(),
            list(self.moved.items()),
            list(self.unlike.items()),
            list(self.once.items()),
            list(self.unreadable.items()),
            list(self.missing.items()),
            list(self.examples.items()),
        )
        beside = path.with_name(path.name + ".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(saved))
        beside.replace(path)

    @classmethod
    def load(cls, path: Path, of: str) -> ReplayResults:
        """What `save` wrote; nothing if there is no file. Raises ValueError if it is of something else."""
        found = cls()
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=Saved)
        except FileNotFoundError:
            return found
        except msgspec.MsgspecError as error:
            raise ValueError(f"it does not hold the progress of a replay: {error}") from None
        if saved.of != of:
            raise ValueError("it holds the progress of another file, configuration or set of options")
        found.through, found._beyond = saved.through, set(saved.beyond)
        found._scopes = {each.scope: _ScopeCounts(each) for each in saved.tallies}
        for each in saved.traffic:
            counts = found.skipped if each.what == "skipped" else found.recorded
            counts[each.endpoint, each.label] = each.number
        found.moved, found.unlike = Counter(dict(saved.moved)), Counter(dict(saved.unlike))
        found.once, found.missing = Counter(dict(saved.once)), Counter(dict(saved.missing))
        found.unreadable = Counter(dict(saved.unreadable))
        found.examples = dict(saved.examples)
        return found


def identity(path: Path, *what: object) -> str:
    """Of the file and all that the replay's result depends on; what is appended to a log changes it."""
    digest = hashlib.sha256(repr((path.stat().st_size, what)).encode())
    with path.open("rb") as file:
        digest.update(file.read(_HEAD))
    return digest.hexdigest()


def _example(each: Difference, method: str, target: str) -> Example:
    legacy = None if each.kind == "only async" else _cut(each.legacy)
    async_ = None if each.kind == "only legacy" else _cut(each.async_)
    return Example(each.path, each.kind, method, target, legacy, async_)


def _cut(value: Json) -> str:
    text = text_of(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
