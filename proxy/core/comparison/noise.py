"""Is a difference between the backends a fault, or noise that legacy makes with itself as well?

Legacy is asked twice on a share of the samples. Where it never differs from itself on a path, every
difference of async counts, unless it was gone when both were asked once more: noise that is rare may well
meet async first. Such differences count only where async has too many of them for chance.

Where legacy does differ from itself, the samples in which just one of the two differed from the same first
answer are compared: b (legacy agreed with itself, async differed) and c (the reverse). If
async were another legacy, each such sample would fall on either side alike: the exact McNemar test (McNemar
1947), one-sided, with Holm's correction (Holm 1979) for the number of tests. Values on noisy paths have a
shape as well, and shapes are judged in the same way. Bounds are one-sided, 95 % (Clopper and Pearson 1934).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil, exp, expm1, lgamma, log, log1p
from typing import Final, Literal, NamedTuple

from proxy.core.comparison.differences import Difference
from proxy.core.documents.exactjson import Json, kind_of

ALPHA: Final = 0.01  # chance, over all noisy paths of an endpoint, of taking noise for a fault
MISSED: Final = 0.05  # chance of missing a fault at the rate that the evidence states
MIN_COMPARED: Final = 30  # fewer are no evidence of anything
MIN_TWICE: Final = 10  # samples with legacy asked twice, before a path passes for free of noise
ENOUGH_TWICE: Final = 300  # samples with legacy asked twice, after which fewer will do
LASTING: Final = 3  # differences on a path that were seen to last; more need not be looked at again
SUSPECT_TWICE: Final = 1000  # the same, where something differs
MAX_PATHS: Final = 1000  # that are told apart; what differs beyond them counts under OTHER
OTHER: Final = "..."
PRECISE: Final = 1e-10  # relative error of a bound
NEGLIGIBLE: Final = 1e-16  # share of a sum that a term may have and be left out

Verdict = Literal["no evidence", "differs", "likely equal"]
PathVerdict = Literal["fault", "noise", "untested"]

_SHAPES: Final = (
    (
        "time",
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?").fullmatch,
    ),
    ("uuid", re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch),
    ("number", re.compile(r"-?\d+\.\d+").fullmatch),
    ("word", re.compile(r"[A-Za-z0-9_\-]+").fullmatch),
)


class PathEvidence(NamedTuple):
    """One path on which something differed, or its shapes (`shape`).

    `differed` of the endpoint's n samples; b and c of the m with legacy asked twice; `p` after Holm's
    correction, None where legacy never differed from itself. `sees` is the rate of faults that would have
    been found here, but for a chance of MISSED; 1 where only the shape can tell.
    """

    path: str
    shape: bool
    differed: int
    b: int
    c: int
    p: float | None
    verdict: PathVerdict
    sees: float


class Parity(NamedTuple):
    """n samples compared, m of them with legacy asked twice, at least k with a difference that counts.

    `bound`: with 95 % confidence, fewer requests than this rate differ where there is no noise; 1 if nothing
    was compared. Noisy paths have bounds of their own (`PathEvidence.sees`).
    """

    verdict: Verdict
    n: int
    m: int
    k: int
    bound: float
    paths: tuple[PathEvidence, ...]

    def __str__(self) -> str:
        """Such as `likely equal (bound 0.1 %)`."""
        if self.verdict != "likely equal":
            return self.verdict
        return f"likely equal (bound {self.bound * 100:.2g} %)"


class Mark(NamedTuple):
    """A path on which something differed; with `shape`, the shapes of its values."""

    path: str
    shape: bool


class Counts(NamedTuple):
    """On one path, of the n samples: in how many async differed from legacy's first answer.

    Of the m with legacy asked twice: b in which async alone differed, c in which legacy's second answer
    alone did, `both` in which both did. `gone`: of those that differed, on how many nothing that lasts was
    found when both were asked once more. Counts of several replicas and runs add up.
    """

    differed: int = 0
    b: int = 0
    c: int = 0
    both: int = 0
    gone: int = 0

    @property
    def noisy(self) -> bool:
        return self.c + self.both > 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Observations:
    """What was seen of one endpoint. Its size is bounded by MAX_PATHS."""

    __slots__ = ("counts", "m", "n")

    def __init__(self, n: int = 0, m: int = 0, counts: Mapping[Mark, Counts] | None = None) -> None:
        self.n = n
        self.m = m
        self.counts: dict[Mark, Counts] = dict(counts or {})

    def suspects(self, async_: Iterable[Difference]) -> set[str]:
        """Paths of differences that are worth another look: is it still there when both are asked again?"""
        found = {each.path if self._known(each.path) else OTHER for each in async_}
        return {path for path in found if self._is_suspect(self.counts.get(Mark(path, False), Counts()))}

    def add(
        self,
        async_: Iterable[Difference],
        legacy: Iterable[Difference] | None,
        gone: Collection[str] = (),
    ) -> dict[Mark, Counts]:
        """One sample: how async, and legacy's second answer if there is one, differ from legacy's first.

        On the paths in `gone`, nothing that lasts was found. Returns what that added to the counts.
        """
        ours = self._marks(async_)
        again = self._marks(legacy) if legacy is not None else None
        self.n += 1
        self.m += again is not None
        if again is not None:
            gained = {mark: _paired(mark in ours, mark in again) for mark in ours | again}
        else:
            gained = dict.fromkeys(ours, Counts(differed=1))
        for mark in ours:
            if not mark.shape and mark.path in gone:
                gained[mark] = gained[mark]._replace(gone=1)
        for mark, new in gained.items():
            self.counts[mark] = self.counts.get(mark, Counts()).plus(new)
        return gained

    def parity(self) -> Parity:
        return judge(self.n, self.m, self.counts)

    def _marks(self, differences: Iterable[Difference]) -> set[Mark]:
        """The path of each difference, and once more if the shapes differ as well."""
        found: set[Mark] = set()
        for each in differences:
            path = each.path if self._known(each.path) else OTHER
            found.add(Mark(path, False))
            if shape_of(each.legacy, each.kind == "only async") != shape_of(
                each.async_, each.kind == "only legacy"
            ):
                found.add(Mark(path, True))
        return found

    def _is_suspect(self, counts: Counts) -> bool:
        return not counts.noisy and counts.differed - counts.gone < LASTING

    def _known(self, path: str) -> bool:
        return (path, False) in self.counts or len(self.counts) < 2 * MAX_PATHS


def _paired(async_: bool, legacy: bool) -> Counts:
    """Of one sample with legacy asked twice: who differed from legacy's first answer."""
    return Counts(async_, async_ and not legacy, legacy and not async_, async_ and legacy)


def share_twice(seen: Observations) -> float:
    """The share of the next samples on which legacy should be asked twice.

    It follows from what was seen before, never from the sample itself, so that it favours no side. While
    something differs that legacy has not been seen to differ on, every sample helps to tell noise from fault.
    """
    if seen.m < SUSPECT_TWICE and any(not each.noisy for each in seen.counts.values()):
        return 1.0
    return 0.5 if seen.m < ENOUGH_TWICE else 0.1


def judge(n: int, m: int, counts: Mapping[Mark, Counts]) -> Parity:
    """What n samples say, of which m with legacy asked twice. Every shape in `counts` has its path there."""
    marks = sorted(mark for mark in counts if not mark.shape or counts[Mark(mark.path, False)].noisy)
    tested = [mark for mark in marks if counts[mark].noisy]
    values = [mcnemar(counts[mark].b, counts[mark].c) for mark in tested]
    adjusted = dict(zip(tested, holm(values), strict=True))
    paths = [
        _noisy(mark, counts[mark], m, adjusted[mark], len(tested))
        if mark in adjusted
        else _clean(mark, counts[mark], n, m)
        for mark in marks
    ]
    paths.sort(key=lambda each: (each.verdict != "fault", -each.differed))
    k = max((each.differed for each in paths if each.verdict == "fault"), default=0)
    return Parity(_verdict(n, paths), n, m, k, upper_bound(k, n), tuple(paths))


def _verdict(n: int, paths: Sequence[PathEvidence]) -> Verdict:
    verdicts = {each.verdict for each in paths}
    if "fault" in verdicts:
        return "differs"
    return "no evidence" if n < MIN_COMPARED or "untested" in verdicts else "likely equal"


def _clean(mark: Mark, counts: Counts, n: int, m: int) -> PathEvidence:
    """Legacy never differed from itself here."""
    verdict: PathVerdict = "fault" if m >= MIN_TWICE else "untested"
    sees = upper_bound(0, n)
    if counts.differed == counts.gone:
        # Were async like legacy, each would have fallen on any of n + m comparisons, m of them legacy's own.
        needed = ceil(log(ALPHA) / log(n / (n + m))) if m else n + 1
        if counts.differed < needed:
            verdict, sees = "noise", upper_bound(min(needed, n) - 1, n)
    return PathEvidence(*mark, counts.differed, counts.b, counts.c, None, verdict, sees)


def _noisy(mark: Mark, counts: Counts, m: int, p: float, tests: int) -> PathEvidence:
    verdict: PathVerdict = "fault" if p <= ALPHA else "noise"
    sees = detectable(m - counts.c - counts.both, counts.c, tests)
    return PathEvidence(*mark, counts.differed, counts.b, counts.c, p, verdict, sees)


def shape_of(value: Json, absent: bool) -> str:
    """What stays the same where values are random: coarse, so that chance alone does not change it."""
    if absent:
        return "absent"
    if not isinstance(value, str):
        return kind_of(value)
    return next((name for name, matches in _SHAPES if matches(value)), "text")


def mcnemar(b: int, c: int) -> float:
    """The chance of b or more on async's side out of b + c, if each falls on either side alike."""
    return _at_most(c, b + c, 0.5)


def holm(values: Sequence[float]) -> list[float]:
    """p-values, each corrected for the number of tests (Holm's step-down method)."""
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda each: values[each])):
        largest = max(largest, min(1.0, values[index] * (len(values) - rank)))
        adjusted[index] = largest
    return adjusted


def upper_bound(k: int, n: int) -> float:
    """The rate at which k or fewer of n have a chance of MISSED; for k = 0 about 3 / n."""
    if k >= n:
        return 1.0
    if k == 0:
        return -expm1(log(MISSED) / n)
    low, high = k / n, 1.0
    while high - low > PRECISE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(k, n, middle) > MISSED else (low, middle)
    return high


def detectable(quiet: int, c: int, tests: int) -> float:
    """The rate of faults that would be found among `quiet` samples in which legacy agreed with itself."""
    low, high = 0, quiet + 1  # the smallest b that is significant beside this c
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar(middle, c) <= ALPHA / tests else (middle + 1, high)
    return upper_bound(low - 1, quiet) if low <= quiet else 1.0


def _at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) of a binomial X. Takes the tail that falls away from k, so that few terms matter."""
    if k >= n or p <= 0:
        return 1.0
    if k < 0 or p >= 1:
        return 0.0
    return _tail(k, n, p) if k <= n * p else 1.0 - _tail(n - k - 1, n, 1 - p)


def _tail(k: int, n: int, p: float) -> float:
    """P(X <= k) for a k that is not above the mean: each term from k down is smaller than the one before."""
    term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p))
    against = (1 - p) / p
    total = 0.0
    for i in range(k, -1, -1):
        total += term
        if term < total * NEGLIGIBLE:
            break
        term *= i / (n - i + 1) * against
    return min(1.0, total)
