"""Since when the keys of each endpoint have been claimed. One TTL later, every key still in use is known.

Before that, a client may repeat a write whose key was first used when the proxy did not remember keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from proxy.core.routing.snapshot import Snapshot
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Stats
from proxy.store.ledger import KeysRow


class Keys(NamedTuple):
    """`mode` is the endpoint's `idempotency`; times in Unix seconds."""

    mode: str
    since: float
    known_at: float

    def seconds_left(self, now: float) -> int:
        """Seconds until every key still in use is known; 0 if all are."""
        return max(0, round(self.known_at - now))


class Claimed:
    """`changed` and `gone` are the endpoints whose rows are still missing in the store, or still there.

    `totals` are those that the process before has looked at.
    """

    def __init__(self, totals: Stats = EMPTY) -> None:
        self._since: dict[str, float] = {}
        self._missed = _missed(totals)
        self._broken: set[str] = set()
        self._anew = False
        self.changed: set[str] = set()
        self.gone: set[str] = set()

    def look(self, snapshot: Snapshot, totals: Stats, now: float) -> None:
        """Endpoints that only record continue without the store; then the time starts again."""
        claiming = {each.name: each for each in snapshot.endpoints if each.idempotency != "off"}
        for name in self._since.keys() - claiming.keys():
            del self._since[name]
            self.gone.add(name)
        missed = _missed(totals)
        for name, endpoint in claiming.items():
            records_only = endpoint.idempotency == "record"
            lost = records_only and missed.get(name, 0) > self._missed.get(name, 0)
            if lost:
                self._broken.add(name)
            if lost or name not in self._since:
                self._since[name] = now
                self.changed.add(name)
        self._missed = missed

    def begin_anew(self) -> None:
        """Starts from zero: the claims of earlier processes are lost."""
        self._anew = True

    def take_over(self, rows: Iterable[KeysRow]) -> None:
        """Takes over what earlier processes wrote, unless it has ended since this one began."""
        if self._anew:
            self.gone.update(row.endpoint for row in rows)
            return
        self._since |= {row.endpoint: row.since for row in rows if row.endpoint not in self._broken}

    def rows(self) -> list[KeysRow]:
        """The rows to write to the store."""
        return [KeysRow(name, self._since[name]) for name in self.changed if name in self._since]

    def saved(self) -> None:
        self.changed.clear()
        self.gone.clear()

    def keys(self, snapshot: Snapshot) -> dict[str, Keys]:
        """By endpoint, of those whose keys are claimed."""
        ttl = snapshot.idempotency.ttl
        return {
            each.name: Keys(each.idempotency, since, since + ttl)
            for each in snapshot.endpoints
            if (since := self._since.get(each.name)) is not None
        }


def _missed(totals: Stats) -> dict[str, int]:
    return {each.first: each.count for each in totals.keyed if each.second == "unavailable"}
