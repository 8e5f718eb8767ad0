"""What breaks, when, for how long, and how many connections there are then: pure, and decided by the seed.

A run is a row of episodes. Each sets the number of connections and the weight, gives requests the time to use
them, breaks one thing, and leaves time to recover.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar

Store = Literal["sqlite", "postgresql"]
Target = Literal["legacy", "async", ""]
T = TypeVar("T")
BACKEND: Final = ("unread", "late", "half", "frozen")
EVERYWHERE: Final = (*BACKEND, "freeze_worker", "freeze_control")
STORES: Final[dict[Store, tuple[str, ...]]] = {
    "sqlite": ("lock_store", "delete_claims"),
    "postgresql": ("slow_store", "late_statement", "freeze_database", "settle_paused"),
}
CLOCK: Final = "clock"
CONNECTIONS: Final = (1, 4, 16, 256)
WEIGHTS: Final = (0, 50, 100)
OFFSETS: Final = (
    25 * 3600.0,
    -25 * 3600.0,
    3600.0,
    -3600.0,
)  # seconds; 25 h is more than a key is remembered
STORE_STALLS: Final = (0.5, 3.0, 9.0)  # shorter and longer than the store's own timeouts of 1, 2 and 5 s
PAUSED: Final = 24.0  # seconds; a lease of 15 s runs out meanwhile
FILLING: Final = 1.0  # seconds from the new number of connections to the fault
CALM: Final = 3.0  # seconds after it


class Timeouts(NamedTuple):
    """Of both backends, in seconds."""

    connect: float
    response: float
    idle: float


SCALED: Final = Timeouts(0.2, 3.0, 6.0)
REAL: Final = Timeouts(2.0, 30.0, 60.0)


@dataclass(frozen=True)
class Episode:
    """`at`: seconds after the first request; `seconds`: how long it lasts, or by how much a clock is off."""

    at: float
    connections: int
    weight: int
    kind: str
    seconds: float
    target: Target = ""

    @property
    def lasts(self) -> float:
        return 0.0 if self.kind == CLOCK else self.seconds

    @property
    def length(self) -> float:
        """Until the next one may begin."""
        return FILLING + self.lasts + CALM


@dataclass(frozen=True)
class Plan:
    timeouts: Timeouts
    episodes: tuple[Episode, ...]

    @property
    def connections(self) -> int:
        """With which it begins."""
        return self.episodes[0].connections


def kinds(store: Store, *, clocks: bool) -> tuple[str, ...]:
    """A worker's clock is off only where workers may be on several machines: those of one share it."""
    return (*EVERYWHERE, *STORES[store], *((CLOCK,) if clocks and store == "postgresql" else ()))


def mixed(seed: int, seconds: float, chosen: Sequence[str]) -> Plan:
    """Every kind in random order, again and again until `seconds` are over; so the numbers of connections."""
    rng = random.Random(seed)
    episodes: list[Episode] = []
    at = FILLING
    connections = _shuffled_for_ever(rng, CONNECTIONS)
    for kind in _shuffled_for_ever(rng, chosen):
        episode = _draw(rng, at, next(connections), kind)
        if at + episode.length > seconds:
            break
        episodes.append(episode)
        at += episode.length
    if not episodes:
        raise ValueError(f"{seconds:g} s are too short for a fault: more writes, or fewer per second")
    return Plan(SCALED, tuple(episodes))


def stalls(connections: int, timeouts: Timeouts, lengths: Sequence[float], pause: float) -> Plan:
    """The one backend stalls so often, with `pause` seconds in between; nothing else happens."""
    episodes, at = [], FILLING
    for length in lengths:
        episodes.append(Episode(at, connections, 0, "frozen", length, "legacy"))
        at += FILLING + length + pause
    return Plan(timeouts, tuple(episodes))


def lengths(kind: str, timeouts: Timeouts) -> tuple[float, ...]:
    """Seconds that a fault of that kind may last."""
    around = tuple(
        share * timeout for timeout in (timeouts.connect, timeouts.response) for share in (0.5, 1.5)
    )
    match kind:
        case "half":
            return (0.5 * timeouts.idle, 1.5 * timeouts.idle)
        case "unread" | "late" | "frozen":
            return (*around, 3.3 * timeouts.response)
        case "lock_store" | "slow_store" | "freeze_database":
            return STORE_STALLS
        case "late_statement":
            return (9.0,)
        case "delete_claims":
            return (3.0,)
        case "settle_paused":
            return (PAUSED,)
        case "clock":
            return OFFSETS
        case _:  # a process of ours
            return (0.5 * timeouts.response, 1.5 * timeouts.response)


def _draw(rng: random.Random, at: float, connections: int, kind: str) -> Episode:
    weight = rng.choice(WEIGHTS)
    target: Target = ""
    if kind in BACKEND:  # the one that gets the requests
        target = "async" if weight == 100 or (weight and rng.random() < 0.5) else "legacy"
    return Episode(at, connections, weight, kind, rng.choice(lengths(kind, SCALED)), target)


def _shuffled_for_ever(rng: random.Random, items: Sequence[T]) -> Iterator[T]:
    """All of them in random order, again and again."""
    while True:
        yield from rng.sample(items, len(items))
