"""What all comparisons of one endpoint say together: a verdict, a bound, and what the bound cannot see."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import exp
from typing import Final, Literal, NamedTuple

from proxy.core.comparison.marks import Mark, MarkKind
from proxy.core.comparison.noise import Counts
from proxy.core.evidence.sequential import (
    missing_units,
    place_threshold,
    smallest_b,
    upper_bound,
)

PARITY: Final = 0.02  # the bound that counts, unless `compare.parity` says another

Verdict = Literal["no evidence", "not yet known", "likely equal", "differs"]
PathVerdict = Literal["fault", "noise", "untested"]


class PathEvidence(NamedTuple):
    """One place where something differed, and in which respect (`kind`).

    `differed` of the endpoint's n samples; b and c of the m with legacy asked twice; `p` corrected for the
    number of places and valid at any time, None where legacy never differed from itself. `untested`: it did
    not last, or could not be checked again, and legacy never differed here. `sees` is the rate of faults that
    would have been found; 1 where any rate could hide.
    """

    path: str
    kind: MarkKind
    differed: int
    b: int
    c: int
    p: float | None
    verdict: PathVerdict
    sees: float

    @property
    def shape(self) -> bool:
        return self.kind == "shape"


class ParityCounts(NamedTuple):
    """What is judged: n samples, m of them with legacy asked twice. `counts` in the order of appearance.

    `units` are distinct users, and requests without a sticky key; `bad` those with a difference that counts.
    `differs`, `once`, `undecided` and `unanswered` count samples, `fields` the places in legacy's answers.
    """

    n: int = 0
    m: int = 0
    counts: Mapping[Mark, Counts] = {}
    units: int = 0
    bad: int = 0
    differs: int = 0
    once: int = 0
    undecided: int = 0
    unanswered: int = 0
    fields: int = 0


class Parity(NamedTuple):
    """n samples compared, m of them with legacy asked twice, k with any difference that counts.

    `bound`: with 95 % confidence, however often one looks, fewer than this share of the users meet a
    difference at a place that is not noisy; 1 if nothing was compared. `limit` is what the bound must
    reach, `missing` how many more users or requests without a difference that needs. `hiding` are places
    where any rate of faults could hide, `fields` the others.
    """

    verdict: Verdict
    n: int
    m: int
    k: int
    bound: float
    paths: tuple[PathEvidence, ...] = ()
    limit: float = PARITY
    missing: int = 0
    units: int = 0
    fields: int = 0
    hiding: int = 0
    unanswered: int = 0
    once: int = 0
    undecided: int = 0

    def __str__(self) -> str:
        """Such as `likely equal on 41 fields (< 0.06 %); 3 fields can hide any rate; 9 differed once`."""
        certain = self.verdict in ("no evidence", "differs")
        return self.short if certain else "; ".join([self.short, *self.unseen])

    @property
    def short(self) -> str:
        """The verdict with its figure, without what it leaves out."""
        if self.verdict == "likely equal":
            on = f" on {_fields(self.fields)}" if self.fields else ""
            return f"likely equal{on} (< {self.bound * 100:.2g} %)"
        if self.verdict == "not yet known":
            return f"not yet known (needs about {self.missing:,} more)"
        return self.verdict

    @property
    def unseen(self) -> tuple[str, ...]:
        """What the bound cannot see, or had to allow for."""
        found = (
            (self.hiding, f"{_fields(self.hiding)} can hide any rate"),
            (self.unanswered, f"{self.unanswered:,} unanswered"),
            (self.once, f"{self.once:,} differed once"),
            (self.undecided, f"{self.undecided:,} undecided"),
        )
        return tuple(text for number, text in found if number)


@lru_cache(maxsize=64)
def nothing(limit: float) -> Parity:
    """What is known while nothing was compared."""
    return Parity("no evidence", 0, 0, 0, 1.0, limit=limit, missing=missing_units(0, 0, limit))


def judge(seen: ParityCounts, limit: float = PARITY) -> Parity:
    """The verdict, with its bound: `likely equal` only if the bound (`upper_bound`) has reached `limit`."""
    if not seen.n:
        return nothing(limit)
    paths = _paths(seen)
    k = max([seen.differs, *(each.differed for each in paths if each.verdict == "fault")])
    hiding = _hiding(paths)
    missing = missing_units(seen.bad, seen.units, limit)
    verdict: Verdict = "not yet known" if missing else "likely equal"
    if any(each.verdict == "fault" for each in paths):
        verdict = "differs"
    return Parity(
        verdict,
        seen.n,
        seen.m,
        min(k, seen.n),
        upper_bound(seen.bad, seen.units),
        tuple(paths),
        limit,
        missing,
        seen.units,
        max(0, seen.fields - len(hiding)),
        len(hiding),
        seen.unanswered,
        seen.once,
        seen.undecided,
    )


def _paths(seen: ParityCounts) -> list[PathEvidence]:
    """Faults first. Other respects in which a place differs are shown only where its values are no fault."""
    made = {
        mark: _evidence(mark, counts, place, seen)
        for place, (mark, counts) in enumerate(seen.counts.items(), 1)
    }
    faults = {mark.path for mark, each in made.items() if mark.kind == "value" and each.verdict == "fault"}
    shown = [
        each
        for mark, each in made.items()
        if mark.kind == "value" or (mark.path not in faults and each.verdict != "untested")
    ]
    return sorted(shown, key=lambda each: (each.verdict != "fault", -each.differed, each.path))


def _evidence(mark: Mark, counts: Counts, place: int, seen: ParityCounts) -> PathEvidence:
    verdict: PathVerdict = (
        "fault" if counts.is_fault(place, seen.m) else "noise" if counts.noisy else "untested"
    )
    p, sees = None, upper_bound(0, seen.units)
    if counts.noisy:
        p = min(1.0, place * (place + 1) * exp(min(0.0, -counts.log_e)))
        sees = _detectable(seen.m - counts.c - counts.both, counts.c, place)
    return PathEvidence(*mark, counts.differed, counts.b, counts.c, p, verdict, sees)


def _detectable(quiet: int, c: int, place: int) -> float:
    """The rate of faults that would have been found among `quiet` samples in which legacy agreed with
    itself."""
    b = smallest_b(c, place_threshold(place), quiet)
    return 1.0 if b is None else upper_bound(b - 1, quiet)


def _hiding(paths: list[PathEvidence]) -> set[str]:
    """Noisy places in which faults at any rate could hide, except in arrays that are merely shuffled."""
    noise = (each for each in paths if each.kind == "value" and each.verdict == "noise")
    noisy = {each.path for each in noise if each.sees >= 1}
    mixed = {each.path for each in paths if each.kind == "multiset"}
    return {path for path in noisy if "[]" not in path or path in mixed}


def _fields(number: int) -> str:
    return f"{number:,} field{'' if number == 1 else 's'}"
