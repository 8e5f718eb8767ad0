"""Results of comparisons for each endpoint under the rules in use, read only while somebody looks."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

from proxy.control.log import log
from proxy.core.comparison.comparisons import (
    DRY_RUN,
    READ_BACK,
    Report,
    Tally,
    Traffic,
    latest,
    report,
    settings_hash,
)
from proxy.core.comparison.parity import PARITY, Parity, nothing
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint
from proxy.store import StoreUnavailable, comparison_reader
from proxy.store.comparisons import StoredCounts

INTERVAL: Final = 3.0  # seconds between two looks, at least
SHARE: Final = 0.1  # of the time may be spent on looking
STALE: Final = 60.0  # seconds after which what was read last counts as nothing
PATIENCE: Final = 5.0  # seconds that an answer waits for a look
DAY: Final = 86_400.0
OVERLAP: Final = 600.0  # seconds that two versions answer beside each other while one replaces the other
GRAVE: Final = {"differs": 0, "not yet known": 1, "no evidence": 1, "likely equal": 2}


class Standing(NamedTuple):
    """One name under which evidence is kept: an endpoint, or its read-backs or dry runs.

    `report` is that of the newest versions under the rules in force; None if nothing was compared under
    them. `earlier` counts what is kept of other versions and rules; `skipped` says what was not compared.
    `limit` is the bound that is asked for.
    """

    endpoint: str
    report: Report | None
    earlier: int
    skipped: dict[str, int]
    limit: float

    @property
    def parity(self) -> Parity:
        return nothing(self.limit) if self.report is None else self.report.parity


class Verdicts:
    """`standings` by endpoint are as of the last look; `error` says why they are old."""

    def __init__(self, url: str, snapshot: Callable[[], Snapshot]) -> None:
        self._url = url
        self._snapshot = snapshot
        self._next = float("-inf")
        self._started = 0.0
        self._hash = ""
        self._read: tuple[float, str] = (float("-inf"), "")  # when, and for which configuration
        self._looking: asyncio.Task[None] | None = None
        self.standings: dict[str, Standing] = {}
        self.error = "the comparisons are being read; ask again in a moment"

    def refresh(self) -> None:
        """Starts a look if the last one is old; what it finds is there the next time. Needs a loop."""
        self._start()

    async def current(self) -> None:
        """Returns when `standings` are not old, or that takes too long."""
        task = self._start()
        if task is not None:
            await asyncio.wait({task}, timeout=PATIENCE)

    def parity(self, endpoint: Endpoint | None) -> Parity:
        """What is known of an endpoint wherever its weight is shown; None is one that is not listed."""
        if endpoint is None:
            return nothing(PARITY)
        standing = self.standings.get(endpoint.name)
        return nothing(endpoint.compare.parity) if standing is None else standing.parity

    def versions(self) -> dict[str, tuple[str, str]]:
        """Of both backends, by endpoint, as the newest comparison met them."""
        found = ((name, each.report) for name, each in self.standings.items())
        return {name: (report.scope.legacy, report.scope.async_) for name, report in found if report}

    def _start(self) -> asyncio.Task[None] | None:
        snapshot = self._snapshot()
        now = time.monotonic()
        if self._looking is None and (now >= self._next or snapshot.hash != self._hash):
            self._started, self._hash = now, snapshot.hash
            self._looking = asyncio.get_running_loop().create_task(self._look(snapshot))
            self._looking.add_done_callback(self._done)
        return self._looking

    async def _look(self, snapshot: Snapshot) -> None:
        try:
            found = await comparison_reader.everything(self._url)
            # The exact tests of many paths take a while: not on the loop that serves.
            self.standings = await asyncio.to_thread(standings, snapshot, found, date.today())
            self._read, self.error = (time.monotonic(), snapshot.hash), ""
        except StoreUnavailable as error:
            self.error = f"the store does not answer: {error}"
            self._doubt(snapshot)
        except Exception as error:  # whatever it is, the page is shown
            log.exception("the comparisons cannot be read")
            self.error = f"the comparisons cannot be read: {error!r}"
            self._doubt(snapshot)

    def _doubt(self, snapshot: Snapshot) -> None:
        """What is old, or of other rules, certifies nothing: no rollout advances on it."""
        when, hash = self._read
        if hash != snapshot.hash or time.monotonic() - when > STALE:
            self.standings = {}

    def _done(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        now = time.monotonic()
        self._next = now + max(INTERVAL, (now - self._started) / SHARE)


def standings(snapshot: Snapshot, found: StoredCounts, today: date) -> dict[str, Standing]:
    """Every endpoint in the order of the file, then other names under which something is stored."""
    listed = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    tallies: defaultdict[str, list[Tally]] = defaultdict(list)
    traffic: defaultdict[str, list[Traffic]] = defaultdict(list)
    for tally in found.tallies:
        tallies[tally.scope.endpoint].append(tally)
    for each in found.traffic:
        traffic[each.endpoint].append(each)
    return {
        name: _standing(
            name,
            listed.get(name),
            StoredCounts(tallies[name], traffic[name]),
            today,
            parity_asked(name, listed, snapshot.compare.parity),
        )
        for name in dict.fromkeys([*listed, *tallies, *traffic])
    }


def parity_asked(name: str, listed: Mapping[str, Endpoint], default: float) -> float:
    """`compare.parity` of the endpoint; of a write's read-back and dry run, that of the write."""
    endpoint = listed.get(name.removesuffix(READ_BACK).removesuffix(DRY_RUN))
    return default if endpoint is None else endpoint.compare.parity


def in_force(
    tallies: Iterable[Tally], endpoint: Endpoint | None, name: str, today: date, limit: float
) -> Tally | None:
    """The newest under the rules in force; of what is no endpoint of the configuration, the newest of all.

    Of versions that answer beside each other, as with a canary, the worst of the last day: a faulty one that
    gives a tenth of the answers is not hidden by the sound one that gave the last.
    """
    rules = None if endpoint is None else settings_hash(endpoint.compare, today)
    mine = [each for each in tallies if each.scope.endpoint == name]
    newest = latest(mine, name, rules)
    if newest is None:
        return None
    beside = [
        each
        for each in mine
        if each is not newest
        and each.scope.rules == newest.scope.rules
        and each.last >= newest.last - DAY
        and each.last - newest.first > OVERLAP
    ]
    if not beside:
        return newest
    return min([newest, *beside], key=lambda each: GRAVE[report(each, (), limit).parity.verdict])


def _standing(
    name: str, endpoint: Endpoint | None, found: StoredCounts, today: date, limit: float
) -> Standing:
    """`found` is what is stored under this name."""
    tally = in_force(found.tallies, endpoint, name, today, limit)
    skipped = {each.label: each.number for each in found.traffic if each.what == "skipped"}
    made = None if tally is None else report(tally, found.traffic, limit)
    return Standing(name, made, len(found.tallies) - (tally is not None), skipped, limit)
