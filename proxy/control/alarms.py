"""What somebody must know at once: a backend that does not answer, a breaker that is open, clients that find
no room.

Alarms are evaluated every second. Each is one log line when it begins and one when it ends, however many
workers see it. In between it is shown on the page, in `status`, in the API and in the metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from proxy.control.log import log
from proxy.core.forwarding import addresses
from proxy.core.settings import BACKENDS
from proxy.core.wire.messages import AddressSeen, OpenBreaker, Stats

INTERVAL: Final = 1.0  # seconds between two looks
TOLERATED: Final = 10.0  # seconds that a breaker may be open, or a backend silent, before `status` says no

Kind = Literal["backend", "breaker", "connections", "writes", "store", "rollout"]

CROWDED: Final = 5.0  # seconds after the last client that found no room
CROWD: Final = "clients"
FULL: Final = (
    "the limit of client connections is reached: new clients wait until an idle connection is closed "
    "(server.limits.connections, or the limit of open files)"
)


class Alarm(NamedTuple):
    """`subject` is a backend or an endpoint. `since` is in Unix seconds, None if that is not known.

    `strangler status` exits 1 for one that is `serious`.
    """

    kind: Kind
    subject: str
    text: str
    since: float | None
    serious: bool


class Alarms:
    """The alarms, each with its beginning. `signals` returns what the workers see, `clock` the Unix time."""

    def __init__(self, signals: Callable[[], Stats], clock: Callable[[], float] = time.time) -> None:
        self._signals = signals
        self._clock = clock
        self._down: dict[str, float] = {}  # backend
        self._crowded: dict[str, float] = {}  # CROWD
        self._open: dict[str, float] = {}  # endpoint, or backend for the breaker of all of it

    async def run(self) -> None:
        """Checks forever; cancel it."""
        while True:
            self.look()
            await asyncio.sleep(INTERVAL)

    def look(self) -> list[Alarm]:
        """Logs changes; returns the current alarms."""
        now, signals = self._clock(), self._signals()
        down = addresses.down(signals.addresses)
        bad = {name: _silent(seen) for name, seen in addresses.silent(signals.addresses).items()}
        bad.update((name, _backend(seen)) for name, seen in down.items())
        breakers = {breaker.name: breaker for breaker in signals.breakers}
        for name in _changed(self._down, bad, now):
            _say(name in bad, bad.get(name) or f"the {name} backend answers again")
        for name in _changed(self._open, breakers, now):
            _say(name in breakers, _breaker_began(name) if name in breakers else _breaker_ended(name))
        crowded = {CROWD: signals.full} if 0 <= signals.full <= CROWDED else {}
        for name in _changed(self._crowded, crowded, now):
            _say(
                name in crowded,
                FULL if name in crowded else "client connections are below the limit again",
            )
        return [
            *(
                Alarm("connections", name, FULL, at, now - at > TOLERATED)
                for name, at in self._crowded.items()
            ),
            *(
                Alarm(
                    "backend", name, bad[name], at, name in down or name in breakers or now - at > TOLERATED
                )
                for name, at in self._down.items()
            ),
            *(
                Alarm("breaker", name, _breaker(breakers[name]), at, now - at > TOLERATED)
                for name, at in self._open.items()
            ),
        ]


def _changed(since: dict[str, float], current: dict[str, Any], now: float) -> list[str]:
    """Names that appeared or disappeared; updates `since`."""
    came = [name for name in current if name not in since]
    gone = [name for name in since if name not in current]
    since.update(dict.fromkeys(came, now))
    for name in gone:
        del since[name]
    return came + gone


def _say(wrong: bool, line: str) -> None:
    (log.error if wrong else log.info)("%s", line)


def _backend(seen: list[AddressSeen]) -> str:
    which = ", ".join(line.url for line in seen)
    every = "its only address" if len(seen) == 1 else "every one of its addresses"
    return f"the {seen[0].backend} backend does not answer: {every} fails ({which})"


def _silent(seen: list[AddressSeen]) -> str:
    count = sum(line.waiting for line in seen)
    waited = f"{count} requests are waiting, or their clients gave up"
    silence = f"it has sent nothing for more than {addresses.SILENCE:g} s"
    return f"the {seen[0].backend} backend does not answer: {waited}, and {silence}"


def _whose(name: str) -> str:
    return f"of the whole {name} backend" if name in BACKENDS else f"of {name}"


def _breaker(breaker: OpenBreaker) -> str:
    what = "open: legacy answers" if breaker.state == "open" else "ramping: async receives a growing share"
    return f"the breaker {_whose(breaker.name)} is {what}"


def _breaker_began(name: str) -> str:
    return f"the breaker {_whose(name)} has opened: async fails, and legacy answers reads instead"


def _breaker_ended(name: str) -> str:
    return f"the breaker {_whose(name)} has closed: async answers again"
