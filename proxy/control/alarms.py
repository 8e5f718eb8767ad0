"""What somebody must know at once: a backend that does not answer, a breaker that is open, an endpoint most
of whose requests fail, a store that does not answer, clients that find no room.

Alarms are evaluated every second. Each is one log line when it begins and one when it ends, however many
workers see it. In between it is shown on the page, in `status`, in the API and in the metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from proxy.control.log import log
from proxy.core.forwarding import addresses
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BACKENDS
from proxy.core.traffic.failing import SHORT, Failing, failing, refuses
from proxy.core.traffic.totals import UNEVENTFUL, Fared, Keyed, Series
from proxy.core.wire.messages import AddressSeen, OpenBreaker, Stats

INTERVAL: Final = 1.0  # seconds between two looks
TOLERATED: Final = 10.0  # seconds that a breaker may be open, or a backend silent, before `status` says no

Kind = Literal["backend", "breaker", "endpoint", "connections", "writes", "store", "rollout"]
Key = TypeVar("Key")

CROWDED: Final = 5.0  # seconds after the last client that found no room
CROWD: Final = "clients"
FULL: Final = (
    "the limit of client connections is reached: new clients wait until an idle connection is closed "
    "(server.limits.connections, or the limit of open files)"
)
KEYS: Final = "keys"  # subject of the alarm about a store that does not answer


class Alarm(NamedTuple):
    """`subject` is a backend or an endpoint. `since` is in Unix seconds, None if that is not known.

    `strangler status` exits 1 for one that is `serious`.
    """

    kind: Kind
    subject: str
    text: str
    since: float | None
    serious: bool


class _Topic(Generic[Key]):
    """Alarms of one kind, each from its beginning. `began` and `ended` make the log lines."""

    def __init__(self, began: Callable[[Key, str], str], ended: Callable[[Key], str]) -> None:
        self.since: dict[Key, float] = {}
        self._began = began
        self._ended = ended

    def update(self, texts: Mapping[Key, str], now: float) -> None:
        """Logs what has begun or ended; `texts` are those that there are now."""
        for key, text in texts.items():
            if key not in self.since:
                self.since[key] = now
                log.error("%s", self._began(key, text))
        for key in [key for key in self.since if key not in texts]:
            del self.since[key]
            log.info("%s", self._ended(key))


class Alarms:
    """The alarms, each with its beginning. `signals` returns what the workers see, `fared` what became of
    requests, `clock` the Unix time.
    """

    def __init__(
        self,
        signals: Callable[[], Stats],
        clock: Callable[[], float] = time.time,
        fared: Callable[[], Fared] = lambda: UNEVENTFUL,
    ) -> None:
        self._signals = signals
        self._clock = clock
        self._fared = fared
        self._down: _Topic[str] = _Topic(_same, lambda name: f"the {name} backend answers again")
        self._crowded: _Topic[str] = _Topic(_same, lambda _: "client connections are below the limit again")
        self._open: _Topic[str] = _Topic(lambda name, _: _breaker_began(name), _breaker_ended)
        self._failing: _Topic[Series] = _Topic(_same, _fails_no_longer)
        self._refusing: _Topic[str] = _Topic(
            _same, lambda _: "keyed writes are no longer refused for want of the store"
        )

    async def run(self) -> None:
        """Checks forever; cancel it."""
        while True:
            self.look()
            await asyncio.sleep(INTERVAL)

    @property
    def failing(self) -> set[Series]:
        """Endpoints and backends that were failing at the last look."""
        return set(self._failing.since)

    @property
    def store_is_out(self) -> bool:
        """Whether, at the last look, keyed writes were refused because the store does not answer."""
        return bool(self._refusing.since)

    def look(self) -> list[Alarm]:
        """Logs changes; returns the current alarms."""
        now, signals, fared = self._clock(), self._signals(), self._fared()
        crowd = {CROWD: FULL} if 0 <= signals.full <= CROWDED else {}
        self._crowded.update(crowd, now)
        return [
            *(
                Alarm("connections", name, FULL, at, now - at > TOLERATED)
                for name, at in self._crowded.since.items()
            ),
            *self._store(fared.keyed, signals.store, now),
            *self._backends(signals, now),
            *self._endpoints(fared, now),
        ]

    def _backends(self, signals: Stats, now: float) -> list[Alarm]:
        down = addresses.down(signals.addresses)
        bad = {name: _silent(seen) for name, seen in addresses.silent(signals.addresses).items()}
        bad.update((name, _backend(seen)) for name, seen in down.items())
        breakers = {breaker.name: _breaker(breaker) for breaker in signals.breakers}
        self._down.update(bad, now)
        self._open.update(breakers, now)
        return [
            *(
                Alarm(
                    "backend", name, bad[name], at, name in down or name in breakers or now - at > TOLERATED
                )
                for name, at in self._down.since.items()
            ),
            *(
                Alarm("breaker", name, breakers[name], at, now - at > TOLERATED)
                for name, at in self._open.since.items()
            ),
        ]

    def _endpoints(self, fared: Fared, now: float) -> list[Alarm]:
        texts = {}
        for series, course in fared.courses.items():
            found = failing(*course, series in self._failing.since)
            if found is not None:
                texts[series] = _fails(series, found)
        self._failing.update(texts, now)
        return [
            Alarm("endpoint", series[0], texts[series], at, serious=True)
            for series, at in self._failing.since.items()
        ]

    def _store(self, keyed: Keyed, cause: str, now: float) -> list[Alarm]:
        out = refuses(keyed.refused, keyed.served)
        self._refusing.update({KEYS: _refuses(keyed, cause)} if out else {}, now)
        return [
            Alarm("store", name, _refuses(keyed, cause), at, serious=True)
            for name, at in self._refusing.since.items()
        ]


def _same(_: object, text: str) -> str:
    return text


def _backend(seen: list[AddressSeen]) -> str:
    which = ", ".join(line.url for line in seen)
    every = "its only address" if len(seen) == 1 else "every one of its addresses"
    return f"the {seen[0].backend} backend does not answer: {every} fails ({which})"


def _silent(seen: list[AddressSeen]) -> str:
    count = sum(line.waiting for line in seen)
    waited = f"{count} requests are waiting, or their clients gave up"
    silence = f"it has sent nothing for more than {addresses.SILENCE:g} s"
    return f"the {seen[0].backend} backend does not answer: {waited}, and {silence}"


def _what(series: Series) -> str:
    return f"{series[0]} requests" if series[0] == UNLISTED else series[0]


def _fails(series: Series, found: Failing) -> str:
    saved = f", {found.saved} of which legacy answered instead" if found.saved else ""
    count = f"{found.failed} of {found.requests} in the last {found.seconds} s"
    return f"{series[1]} fails {_what(series)}: {count}{saved}"


def _fails_no_longer(series: Series) -> str:
    return f"{series[1]} no longer fails {_what(series)}"


def _refuses(keyed: Keyed, cause: str) -> str:
    number = f"{keyed.number} keyed writes were" if keyed.number != 1 else "1 keyed write was"
    refused = f"{number} refused with 503 in the last {SHORT} s"
    if not keyed.number:
        refused = f"the last keyed write, {keyed.refused or 0:.0f} s ago, was refused with 503"
    why = f" ({cause})" if cause else ""
    return f"the store of idempotency keys does not answer{why}: {refused}"


def _whose(name: str) -> str:
    return f"of the whole {name} backend" if name in BACKENDS else f"of {name}"


def _breaker(breaker: OpenBreaker) -> str:
    what = "open: legacy answers" if breaker.state == "open" else "ramping: async receives a growing share"
    return f"the breaker {_whose(breaker.name)} is {what}"


def _breaker_began(name: str) -> str:
    return f"the breaker {_whose(name)} has opened: async fails, and legacy answers reads instead"


def _breaker_ended(name: str) -> str:
    return f"the breaker {_whose(name)} has closed: async answers again"
