"""Decides whether a difference is a fault of async, or noise that legacy shows with itself, too.

The order is legacy, async and, on a share of the samples, legacy again: what moves by itself between the
first and the last answer is legacy's own difference. Where something differs, both are asked LOOKS times
more. A difference is *lasting* if async says the same each time, legacy says the same each time, and they
differ. One lasting difference is a fault, unless legacy has lasting differences with itself at that place:
two replicas that disagree. One odd answer of legacy changes nothing.

Where legacy differs from itself, two numbers of samples are compared: b, in which async alone differed from
legacy's first answer, and c, in which legacy's second answer alone did. If async were another legacy, both
would be equally likely. The evidence against that is an e-value, valid however often it is looked at; the
i-th place to appear has to reach 100 i (i + 1), and what is proven once stays proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from proxy.core.comparison.marks import Mark
from proxy.core.evidence.sequential import log_mean_exp, one_sided, place_threshold

LOOKS: Final = 5  # more times that both are asked where something differs, as long as it may last
MIN_TWICE: Final = 10  # samples with legacy asked twice, before a share of them will do
ENOUGH_TWICE: Final = 300  # samples with legacy asked twice, after which fewer will do
SUSPECT_TWICE: Final = 1000  # the same, where something differs
LASTING: Final = 3  # differences at a place that were seen to last; more need not be looked at again
HEAVY: Final = 5  # own differences of legacy at a place, from which on it may be heavily noisy
HEAVY_SHARE: Final = 0.05  # of the samples with legacy asked twice: not looked at again from there on
MAX_PATHS: Final = 1000  # that are told apart; what differs beyond them counts under OTHER
MAX_MARKS: Final = 4 * MAX_PATHS
OTHER: Final = "..."

Outcome = Literal["differs", "once", "undecided", "unanswered", "unkeyed", "unkeyed differs"]
"""Of a sample. differs: in something that is not noise, even if only once, or async did not answer
(unanswered). once: no difference lasted. undecided: a later look had no answer. unkeyed: the request had no
sticky key."""


class Counts(NamedTuple):
    """At one place, of the n samples: in how many async differed from legacy's first answer.

    Of the m with legacy asked twice: b in which async alone differed, c in which legacy's second answer
    alone did, `both` in which both did. `lasting`: async's differences that lasted, `paired` those of them
    among the m, `legacy` legacy's with itself. `once`: did not last, though legacy kept its answer.
    `undecided`: a later look failed. `moved`: legacy did not keep its answer meanwhile. `proven`: it was once
    shown to be a fault. Counts of several replicas and runs add up.
    """

    differed: int = 0
    b: int = 0
    c: int = 0
    both: int = 0
    lasting: int = 0
    paired: int = 0
    legacy: int = 0
    once: int = 0
    undecided: int = 0
    moved: int = 0
    proven: int = 0

    @property
    def noisy(self) -> bool:
        """Whether legacy has ever differed from itself here."""
        return self.c + self.both + self.legacy + self.moved > 0

    @property
    def log_e(self) -> float:
        """log of the evidence that async differs more often than legacy differs from itself."""
        if not self.legacy:
            return one_sided(self.b, self.c)
        return log_mean_exp([one_sided(self.b, self.c), one_sided(self.paired, self.legacy)])

    def is_fault(self, place: int, m: int) -> bool:
        """`place`: its number in the order of appearance, from 1.

        If legacy often differs from itself and has few values, chance alone may look like a difference that
        lasts.
        """
        often = self.noisy and self.c + self.both >= HEAVY_SHARE * m
        lasts = self.lasting > 0 and not self.legacy and not often
        return self.proven > 0 or lasts or self.log_e >= place_threshold(place)

    def heavy(self, m: int) -> bool:
        """Whether legacy differs from itself so often that asking again tells nothing new."""
        own = self.c + self.both
        return own >= HEAVY and own >= HEAVY_SHARE * m

    def plus(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Observed(NamedTuple):
    """What one sample showed: how async, and legacy's second answer if there is one, differ from the first.

    Of those differences that both were asked about again (`looked`): which lasted, of async and of legacy
    with itself, which were seen once though legacy kept its answer, which are undecided.
    """

    async_: frozenset[Mark]
    again: frozenset[Mark] | None = None
    looked: frozenset[Mark] = frozenset()
    lasting: frozenset[Mark] = frozenset()
    legacy: frozenset[Mark] = frozenset()
    once: frozenset[Mark] = frozenset()
    undecided: frozenset[Mark] = frozenset()
    moved: frozenset[Mark] = frozenset()  # of those looked at, where legacy did not keep its answer
    unanswered: bool = False  # async gave no answer: then nothing else is known


class Look(NamedTuple):
    """How the answers of one more round (legacy, async, legacy) differ, from each other and from the
    first."""

    async_: frozenset[Mark]  # async from legacy, in this round
    again: frozenset[Mark]  # legacy's second answer from its first, in this round
    legacy_moved: frozenset[Mark]  # legacy's first answer from that of the first round
    again_moved: frozenset[
        Mark
    ]  # its second one from that of the first round, or from the first if it had none
    async_moved: frozenset[Mark]


class Following:
    """What becomes of the differences of one sample while both are asked again."""

    def __init__(self, first: Observed, suspects: frozenset[Mark]) -> None:
        again = first.again or frozenset()
        self._first = first
        self._suspects = suspects
        self._async = suspects & first.async_ - again
        self._legacy = suspects & again - first.async_
        self._noise = again

    @property
    def open(self) -> bool:
        """Whether asking again can still tell something."""
        return bool(self._async or self._legacy)

    def add(self, look: Look) -> None:
        twice = self._first.again is not None
        steady = look.legacy_moved | (look.again if not twice else look.again | look.again_moved)
        self._noise |= look.legacy_moved | look.again
        self._async &= look.async_ - look.async_moved - steady
        self._legacy &= look.again - look.legacy_moved - look.again_moved

    def result(self, complete: bool) -> Observed:
        """`complete`: no look failed. Otherwise, open differences are undecided."""
        suspects, nothing = self._suspects & self._first.async_, frozenset[Mark]()
        lasting, undecided = (self._async, nothing) if complete else (nothing, self._async)
        return self._first._replace(
            looked=self._suspects,
            lasting=lasting,
            legacy=self._legacy if complete else nothing,
            once=suspects - self._async - self._noise,
            undecided=undecided,
            moved=suspects & self._noise,
        )


class Gain(NamedTuple):
    """What one sample adds to the counts of its places, and its outcomes."""

    marks: dict[Mark, Counts]
    outcomes: tuple[Outcome, ...]

    @property
    def differs(self) -> bool:
        return "differs" in self.outcomes


class Observations:
    """What was seen of one endpoint. Its size is bounded by MAX_MARKS.

    `counts` in the order in which the places appeared.
    """

    __slots__ = ("_places", "counts", "m", "n")

    def __init__(self, n: int = 0, m: int = 0, counts: Mapping[Mark, Counts] | None = None) -> None:
        self.n = n
        self.m = m
        self.counts: dict[Mark, Counts] = dict(counts or {})
        self._places = {mark: place for place, mark in enumerate(self.counts, 1)}

    def suspects(self, seen: Observed) -> frozenset[Mark]:
        """Differences that are worth more looks: do they last when both are asked again?"""
        found = self._bounded(seen.async_) | self._bounded(seen.again or ())
        return frozenset(mark for mark in found if self._is_suspect(mark))

    def add(self, seen: Observed) -> Gain:
        """One sample. Returns what that added to the counts."""
        ours = self._bounded(seen.async_)
        again = None if seen.again is None else self._bounded(seen.again)
        self.n += 1
        self.m += again is not None
        counted: set[Mark] = set()
        gained: dict[Mark, Counts] = {}
        for mark in sorted(ours | (again or frozenset())):
            known = self.counts.get(mark, Counts())
            new = _paired(mark in ours, None if again is None else mark in again, seen, mark)
            if new.lasting or new.once or new.undecided or _is_plain(mark, known.plus(new), seen):
                counted.add(mark)
            gained[mark] = self._proven(mark, known, new)
        return Gain(gained, _outcomes(seen, bool(counted)))

    def _proven(self, mark: Mark, known: Counts, new: Counts) -> Counts:
        """Adds it up; with the note that this is what proved the place to be a fault, if so."""
        place = self._places.setdefault(mark, len(self._places) + 1)
        total = known.plus(new)
        if not known.proven and total.is_fault(place, self.m):
            new, total = new._replace(proven=1), total._replace(proven=1)
        self.counts[mark] = total
        return new

    def _bounded(self, marks: Iterable[Mark]) -> frozenset[Mark]:
        room = len(self.counts) < MAX_MARKS
        return frozenset(mark if room or mark in self.counts else Mark(OTHER, mark.kind) for mark in marks)

    def _is_suspect(self, mark: Mark) -> bool:
        counts = self.counts.get(mark, Counts())
        if mark.kind == "distance" or (counts.proven and counts.lasting >= LASTING):
            return False
        return not counts.heavy(self.m)


def _is_plain(mark: Mark, counts: Counts, seen: Observed) -> bool:
    """Whether a difference that was not checked again counts: not where legacy differs from itself."""
    if mark not in seen.async_ or mark in seen.looked or mark.kind == "distance":
        return False
    return counts.proven > 0 or not counts.noisy


def _paired(async_: bool, again: bool | None, seen: Observed, mark: Mark) -> Counts:
    """Of one sample at one place: who differed from legacy's first answer, and what lasted."""
    lasting = mark in seen.lasting
    twice = again is not None
    return Counts(
        differed=async_,
        b=twice and async_ and not again,
        c=bool(again) and not async_,
        both=bool(again) and async_,
        lasting=lasting,
        paired=lasting and twice,
        legacy=mark in seen.legacy,
        once=mark in seen.once,
        undecided=mark in seen.undecided,
        moved=mark in seen.moved,
    )


def _outcomes(seen: Observed, differs: bool) -> tuple[Outcome, ...]:
    found: list[Outcome] = []
    if differs:
        found.append("differs")
        if not seen.lasting and seen.undecided:
            found.append("undecided")
        elif not seen.lasting and seen.once:
            found.append("once")
    if seen.unanswered:
        found += ["differs", "unanswered"]
    return tuple(found)


def share_twice(seen: Observations) -> float:
    """The share of the next samples on which legacy should be asked twice.

    It follows from what was seen before, never from the sample itself, so that it favours no side. While
    something differs that legacy has not been seen to differ on, every sample helps to tell noise from fault.
    """
    if seen.m < MIN_TWICE:
        return 1.0
    if seen.m < SUSPECT_TWICE and any(not each.c + each.both + each.legacy for each in seen.counts.values()):
        return 1.0
    return 0.5 if seen.m < ENOUGH_TWICE else 0.1
