"""Users of one endpoint in fake time: who is active in a stretch of time, and whose first attempts fail.

Users are hot, warm or cold; day and night change how much they do. A failure strikes requests, so a user with
many requests is struck sooner. Whatever befalls both backends is drawn without a look at the side that a user
is on, so without a fault of async's own the two are equal by construction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, log, pi
from typing import Final, NamedTuple

from proxy.core.evidence.units import UNITS, Counts, share

DAY: Final = 86_400.0
PRECISION: Final = 10  # bits of a probability that a whole map is drawn with
FEW: Final = 150  # expected requests below which each is drawn


class Crowd(NamedTuple):
    """Part of the users, and the part of the requests that they make."""

    users: float
    requests: float


CROWDS: Final = (Crowd(0.01, 0.35), Crowd(0.15, 0.35), Crowd(0.84, 0.30))


@dataclass(frozen=True)
class Traffic:
    rate: float  # requests per second, on average over the day
    users: int
    swing: float = 0.8  # of day and night
    unkeyed: float = 0.0  # share of the requests that carry no sticky key


@dataclass(frozen=True)
class Harm:
    """Shares of the requests, or of the users, to whom something happens; `outage` is when all fail."""

    resets: float = 0.0  # of the requests, on both sides
    broken: float = 0.0  # of the users: fail on both sides, always
    refused: float = 0.0  # of the requests, on both sides
    slow: float = 0.05  # of the requests, on both sides: above legacy's 95th percentile
    outage: tuple[float, float] = (0.0, 0.0)  # from, until: every request on both sides fails
    more_resets: float = 0.0  # of the requests, on async alone
    broken_on_async: float = 0.0  # of the users, on async alone
    dead_from: float = float("inf")  # async fails every request


class Seen(NamedTuple):
    """Maps and counts of one stretch of time."""

    active: int
    failing: int
    refused: int
    slower: int
    legacy: Counts
    async_: Counts


class World:
    def __init__(self, seed: int, traffic: Traffic, harm: Harm) -> None:
        self.chance: Final = random.Random(seed)
        self.traffic: Final = traffic
        self.harm: Final = harm
        self.phase: Final = self.chance.random() * DAY
        units = [self.chance.randrange(UNITS) for _ in range(traffic.users)]
        self.crowds: Final = []
        start = 0
        for crowd in CROWDS:
            members = units[start : start + max(1, round(crowd.users * traffic.users))]
            start += len(members)
            members = members or units[-1:]
            self.crowds.append((members, _map(members), crowd.requests))
        self.broken: Final = _map(self._some(units, harm.broken))
        self.broken_on_async: Final = _map(self._some(units, harm.broken_on_async))

    def rate(self, now: float) -> float:
        return self.traffic.rate * (1 + self.traffic.swing * cos(2 * pi * (now + self.phase) / DAY))

    def between(self, now: float, until: float, weight: int) -> Seen:
        """What happens from `now` to `until`, at this weight."""
        requests = self.rate(now) * (until - now)
        legacy, async_ = self._unkeyed(requests * self.traffic.unkeyed, now, weight)
        requests *= 1 - self.traffic.unkeyed
        found = [0, 0, 0, 0]  # active, and of each kind
        few: list[int] = []  # by whom each request is, where they are few
        for members, everybody, part in self.crowds:
            if requests * part < FEW:
                few += self.chance.choices(members, k=self._poisson(requests * part))
            else:
                maps = self._all(members, everybody, requests * part / len(members))
                found = [one | other for one, other in zip(found, maps, strict=True)]
        active, failing, refused, slower = (
            one | other for one, other in zip(found, self._each(few), strict=True)
        )
        harm, here = self.harm, share(weight)
        if harm.outage[0] < until and now < harm.outage[1]:
            failing |= active
        if now >= harm.dead_from:
            failing |= active & here
        if harm.more_resets:
            for members, everybody, part in self.crowds:
                each = requests * part / len(members)
                failing |= self._struck(active & everybody, members, each, harm.more_resets) & here
        failing |= active & (self.broken | (self.broken_on_async & here))
        return Seen(active, failing, refused, slower, legacy, async_)

    def _each(self, units: Sequence[int]) -> tuple[int, int, int, int]:
        """Request by request; by whom, and what becomes of it on either side."""
        harm = self.harm
        kinds = (_map(self._some(units, share)) for share in (harm.resets, harm.refused, harm.slow))
        failing, refused, slower = kinds
        return _map(units), failing, refused, slower

    def _some(self, units: Sequence[int], share: float) -> list[int]:
        """Each with this chance, and only those drawn: from one to the next is a geometric distance."""
        found: list[int] = []
        if share <= 0 or not units:
            return found
        missed, place, random = log(1 - share), -1, self.chance.random
        while True:
            place += 1 + int(log(1 - random()) / missed)
            if place >= len(units):
                return found
            found.append(units[place])

    def _all(self, members: Sequence[int], everybody: int, each: float) -> tuple[int, int, int, int]:
        """All users at once, who make `each` requests on average."""
        some, harm = everybody & self._bits(1 - exp(-each)), self.harm
        failing, refused, slower = (
            self._struck(some, members, each, share) for share in (harm.resets, harm.refused, harm.slow)
        )
        return some, failing, refused, slower

    def _struck(self, some: int, members: Sequence[int], each: float, share: float) -> int:
        """Of `some`, who made about `each` requests if they made any, those with a request among `share`."""
        if not share or not some:
            return 0
        chance = min(1.0, (1 - exp(-each * share)) / (1 - exp(-each)))
        expected = chance * some.bit_count()
        if expected > FEW:
            return some & self._bits(chance)
        flags, found = some.to_bytes(UNITS // 8, "little"), 0
        for _ in range(min(some.bit_count(), self._poisson(expected))):
            unit = self.chance.choice(members)
            while not flags[unit >> 3] >> (unit & 7) & 1:
                unit = self.chance.choice(members)
            found |= 1 << unit
        return found

    def _unkeyed(self, requests: float, now: float, weight: int) -> tuple[Counts, Counts]:
        sides: list[list[int]] = [[0, 0, 0, 0], [0, 0, 0, 0]]
        harm = self.harm
        for _ in range(self._poisson(requests)):
            on_async = self.chance.random() * 10_000 < weight
            side = sides[on_async]
            side[0] += 1
            out = harm.outage[0] <= now < harm.outage[1] or (on_async and now >= harm.dead_from)
            side[1] += out or self.chance.random() < harm.resets + harm.more_resets * on_async
            side[2] += self.chance.random() < harm.refused
            side[3] += self.chance.random() < harm.slow
        (a, b, c, d), (e, f, g, h) = sides
        return (a, b, c, d), (e, f, g, h)

    def _bits(self, chance: float) -> int:
        """A map in which each bit is set with this chance, to PRECISION bits."""
        whole = round(chance * (1 << PRECISION))
        if whole >= 1 << PRECISION:
            return (1 << UNITS) - 1
        found = 0
        for place in range(PRECISION):
            if whole >> place & 1:
                found |= self.chance.getrandbits(UNITS)
            elif found:
                found &= self.chance.getrandbits(UNITS)
        return found

    def _poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(self.chance.gauss(mean, mean**0.5)))
        limit, product, count = exp(-mean), self.chance.random(), 0
        while product > limit:
            product *= self.chance.random()
            count += 1
        return count


def _map(units: Sequence[int]) -> int:
    if len(units) < 10:
        found = 0
        for unit in units:
            found |= 1 << unit
        return found
    flags = bytearray(UNITS // 8)
    for unit in units:
        flags[unit >> 3] |= 1 << (unit & 7)
    return int.from_bytes(flags, "little")
