"""Users in bit maps: which of them were active, which failed, and on which side they are.

A unit is `digest % 80_000` of a sticky key's digest: its bucket is `unit % 10_000`, and eight units share a
bucket. The bit of unit u is bit u % 8 of byte u // 8. A map is an int here: OR, AND and counting the bits of
80,000 units take microseconds, and merging maps of workers, restarts and replicas is OR.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from proxy.core.evidence.sequential import AtRisk

UNITS: Final = 80_000
BUCKETS: Final = 10_000
SIZE: Final = UNITS // 8  # of a map, in bytes
EVERYBODY: Final = (1 << UNITS) - 1

Kind = Literal["failing", "refused", "slower"]
KINDS: Final[tuple[Kind, ...]] = ("failing", "refused", "slower")

Counts = tuple[int, int, int, int]
"""Requests without a sticky key: how many, and how many of each of KINDS."""
NONE: Final[Counts] = (0, 0, 0, 0)


class Sides(NamedTuple):
    """How many units of a map are dealt to each backend."""

    legacy: int
    async_: int


class Units(NamedTuple):
    """What was seen of one endpoint since `epoch` (a label) began."""

    epoch: str = ""
    active: int = 0
    failing: int = 0
    refused: int = 0
    slower: int = 0
    legacy: Counts = NONE
    async_: Counts = NONE

    def of(self, kind: Kind) -> int:
        if kind == "failing":
            return self.failing
        return self.refused if kind == "refused" else self.slower

    def __or__(self, other: tuple[object, ...]) -> Units:
        """Both maps; of the counts those of `other`, which are totals too. For the same reporter, later."""
        if not isinstance(other, Units):
            return NotImplemented
        return Units(
            self.epoch,
            self.active | other.active,
            self.failing | other.failing,
            self.refused | other.refused,
            self.slower | other.slower,
            other.legacy,
            other.async_,
        )

    def merged(self, other: Units) -> Units:
        """What two reporters saw, such as two workers: maps by OR, counts by sum."""
        return (self | other)._replace(
            legacy=added(self.legacy, other.legacy), async_=added(self.async_, other.async_)
        )


NOBODY: Final = Units()


def read(data: bytes) -> int:
    """A map as a worker sends it; what is too long is cut, so that no reporter can make it grow."""
    return int.from_bytes(data[:SIZE], "little")


def write(units: int) -> bytes:
    return units.to_bytes((units.bit_length() + 7) // 8, "little")


def reported(
    epoch: str, active: bytes, kinds: tuple[bytes, bytes, bytes], legacy: Counts, async_: Counts
) -> Units:
    """Of one report. Who failed was active, whatever the report says."""
    failing, refused, slower = map(read, kinds)
    return Units(epoch, read(active) | failing | refused | slower, failing, refused, slower, legacy, async_)


@lru_cache(maxsize=128)
def share(weight: int) -> int:
    """The units that are on async at this weight (in hundredths of a percent)."""
    return dealt(0, weight)


@lru_cache(maxsize=128)
def dealt(low: int, high: int) -> int:
    """The units of the buckets from `low` up to `high`, without the latter."""
    once = ((1 << high) - 1) ^ ((1 << low) - 1) if high > low else 0
    return sum(once << BUCKETS * rest for rest in range(UNITS // BUCKETS))


def sides(units: int, weight: int) -> Sides:
    on_async = (units & share(weight)).bit_count()
    return Sides(units.bit_count() - on_async, on_async)


NO_UNITS: Final = (Sides(0, 0),) * 4


class UnitTally:
    """The maps of some units, and how many of each are on each side. Never changed.

    A count of 80,000 bits takes longer than all else here, and every look asks for a dozen of them. So only
    what a look adds is counted, which most of the time is nothing for most of the maps.
    """

    __slots__ = ("counts", "units", "weight")

    def __init__(
        self, units: Units, weight: int, counts: tuple[Sides, Sides, Sides, Sides] | None = None
    ) -> None:
        self.units: Final = units
        self.weight: Final = weight
        self.counts: Final = counts or (
            sides(units.active, weight),
            sides(units.failing, weight),
            sides(units.refused, weight),
            sides(units.slower, weight),
        )

    def with_(self, seen: Units) -> UnitTally:
        """Both maps, and the counts of requests of `seen`: as `Units` are joined."""
        units = self.units
        active, one = _joined(units.active, seen.active, self.counts[0], self.weight)
        failing, two = _joined(units.failing, seen.failing, self.counts[1], self.weight)
        refused, three = _joined(units.refused, seen.refused, self.counts[2], self.weight)
        slower, four = _joined(units.slower, seen.slower, self.counts[3], self.weight)
        joined = Units(units.epoch, active, failing, refused, slower, seen.legacy, seen.async_)
        return UnitTally(joined, self.weight, (one, two, three, four))

    def event(self, before: UnitTally, kind: Kind) -> AtRisk | None:
        """Those who had not failed `before`, and those of them who have now; None if nobody new failed.
        Who failed was active: see `reported`."""
        place = KINDS.index(kind) + 1
        failed, earlier, active = self.counts[place], before.counts[place], self.counts[0]
        if failed == earlier:
            return None
        return AtRisk(
            active.legacy - earlier.legacy,
            active.async_ - earlier.async_,
            failed.legacy - earlier.legacy,
            failed.async_ - earlier.async_,
        )


def _joined(before: int, seen: int, count: Sides, weight: int) -> tuple[int, Sides]:
    """Both maps, and how many are in it, by how many there were `before`."""
    if before == seen:
        return before, count
    both = before | seen
    if both == before:
        return before, count
    new = sides(both ^ before, weight)
    return both, Sides(count.legacy + new.legacy, count.async_ + new.async_)


def grown(before: Counts, now: Counts) -> Counts:
    """Difference of two totals. Where one went back, a reporter is gone and nothing can be said: zeros."""
    if any(late < early for early, late in zip(before, now, strict=True)):
        return NONE
    return (now[0] - before[0], now[1] - before[1], now[2] - before[2], now[3] - before[3])


def added(one: Counts, other: Counts) -> Counts:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])
