"""Keeps the migration ledger: what the workers counted, added up in the store across restarts."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.control.claimed import Claimed, Keys
from proxy.control.collect import Collector
from proxy.control.log import log
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BACKENDS
from proxy.core.traffic.ledger import Hits, LedgerRow
from proxy.core.wire.messages import Stats
from proxy.store import ledger as store
from proxy.store.ledger import HitRow, WeightRow

INTERVAL: Final = 10.0  # seconds between two looks at the totals
TIMEOUT: Final = 15.0  # seconds; nobody waits for it
DAY: Final = 86_400.0  # seconds
MAX_UNLISTED: Final = 1000  # paths; those that were hit longest ago are forgotten

Key = tuple[str, str, str]
"""(endpoint, backend, reason)"""


class Migration(NamedTuple):
    """How far it is at `now`, Unix seconds: listed endpoints, and hits of unlisted paths."""

    now: float
    endpoints: dict[str, LedgerRow]
    unlisted: dict[str, int]


class Ledger:
    """`snapshot` gives the configuration in force. Without a store it holds what happened since the start."""

    def __init__(
        self,
        url: str,
        collector: Collector,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._collector = collector
        self._snapshot = snapshot
        self._clock = clock
        self._hits: dict[Key, Hits] = {}
        self._weights: dict[str, WeightRow] = {}
        self._seen = _counted(collector.resumed)  # the process before us has looked at it
        self._restarts = collector.restarts
        self._changed: set[Key] = set()
        self._moved: set[str] = set()
        self._gone: set[str] = set()  # of `_stored`
        self._stored: set[str] = set()  # endpoints and paths of which the store has hits
        self._claimed = Claimed(collector.resumed)
        self._read = False
        self._failing = False

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.flush()
                await asyncio.sleep(INTERVAL)
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Adds the new counts, and updates the store."""
        try:
            async with asyncio.timeout(TIMEOUT), store.begun(self._url) as connection:
                if not self._read:
                    self._take_over(*await store.read(connection))
                    self._claimed.take_over(await store.read_keys(connection))
                self.look()
                hits = [HitRow(*key, *self._hits[key]) for key in self._changed if key in self._hits]
                weights = [self._weights[name] for name in self._moved]
                await store.write(connection, hits, weights, self._gone)
                await store.write_keys(connection, self._claimed.rows(), self._claimed.gone)
        except Exception as error:  # whatever it is, the proxy goes on
            if not self._failing:
                log.error(
                    "the migration ledger cannot be written (%s): see server.state", error or "no answer"
                )
            self._failing = True
            self.look()
            return
        self._failing = False
        self._stored = (self._stored - self._gone) | {row.endpoint for row in hits}
        for pending in (self._changed, self._moved, self._gone):
            pending.clear()
        self._claimed.saved()

    def look(self) -> None:
        """Adds what was counted since the last look."""
        now, snapshot, totals = self._clock(), self._snapshot(), self._collector.totals()
        self._claimed.look(snapshot, totals, now)
        for endpoint in snapshot.endpoints:
            known = self._weights.get(endpoint.name)
            if known is None or known.weight != endpoint.weight:
                self._weights[endpoint.name] = WeightRow(endpoint.name, endpoint.weight, now)
                self._moved.add(endpoint.name)
                self._forget({endpoint.name})
        counted = _counted(totals)
        if self._collector.restarts != self._restarts:  # what an adopted worker did before has no time
            self._restarts, self._seen = self._collector.restarts, counted
        for key, count in counted.items():
            new = count - self._seen.get(key, 0)
            if new > 0:  # a path that a worker had to forget begins again
                self._hits[key] = Hits(self._hits.get(key, Hits(0, now)).requests + new, now)
                self._changed.add(key)
        self._seen = counted
        self._bound()

    def unlisted_since(self, since: float) -> int:
        """How many unlisted paths were requested since then, Unix seconds."""
        return sum(key[2] == UNLISTED and hits.last >= since for key, hits in self._hits.items())

    def unlisted_lately(self) -> int:
        """How many unlisted paths were requested in the last day."""
        self.look()
        return self.unlisted_since(self._clock() - DAY)

    def keys(self) -> dict[str, Keys]:
        """Since when the keys of each endpoint are claimed."""
        return self._claimed.keys(self._snapshot())

    def forget_keys(self) -> None:
        """The store has lost its keys, so they count as claimed from now on. Call it before `run`."""
        self._claimed.begin_anew()

    def migration(self) -> Migration:
        """The progress of every endpoint, and the unlisted paths."""
        by_endpoint: defaultdict[str, dict[tuple[str, str], Hits]] = defaultdict(dict)
        for (name, backend, reason), hits in self._hits.items():
            by_endpoint[name][backend, reason] = hits
        listed = [endpoint.name for endpoint in self._snapshot().endpoints]
        rows = {
            name: LedgerRow(row.weight, row.since, by_endpoint[name])
            for name in listed
            if (row := self._weights.get(name))
        }
        unlisted = sorted(key[0] for key in self._hits if key[2] == UNLISTED and key[0] not in listed)
        asked = {name: sum(hits.requests for hits in by_endpoint[name].values()) for name in unlisted}
        return Migration(self._clock(), rows, asked)

    def _take_over(self, hits: list[HitRow], weights: list[WeightRow]) -> None:
        """What earlier processes wrote; what was counted before the store could be read comes on top."""
        stored = {row.endpoint: row for row in weights}
        self._weights = stored | {n: row for n, row in self._weights.items() if n not in stored}
        for row in hits:
            key = (row.endpoint, row.backend, row.reason)
            mine = self._hits.get(key, Hits(0, row.last))
            self._hits[key] = Hits(row.requests + mine.requests, max(row.last, mine.last))
        self._stored.update(row.endpoint for row in hits)
        self._read = True

    def _forget(self, names: set[str]) -> None:
        for key in [key for key in self._hits if key[0] in names]:
            del self._hits[key]
            self._changed.discard(key)
        self._gone |= names & self._stored

    def _bound(self) -> None:
        """Of paths last hit at the same time, the more frequent ones are kept: a scanner asks once."""
        paths = sorted(
            (hits.last, hits.requests, key) for key, hits in self._hits.items() if key[2] == UNLISTED
        )
        self._forget({key[0] for _, _, key in paths[: max(0, len(paths) - MAX_UNLISTED)]})


def _counted(totals: Stats) -> dict[Key, int]:
    counted: defaultdict[Key, int] = defaultdict(int)
    for line in totals.requests:
        if line.endpoint != UNLISTED and line.backend in BACKENDS:
            counted[line.endpoint, line.backend, line.reason] += line.count
    for path in totals.unlisted:
        counted[path.first, path.second, UNLISTED] += path.count
    return counted
