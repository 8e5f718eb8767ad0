"""Brings together what the workers of all control processes have seen, through the state database.

Each process adds what its own workers have seen, so that nothing is lost with a worker or a process; who
leads reads what the others have added. Maps are merged by OR. Counts are kept by the worker that counted, and
the newest of each is added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.collect import Collector
from proxy.core.evidence.units import NONE, Counts, Units, added, reported
from proxy.core.wire.messages import UnitReport
from proxy.store import rollouts

SHARE: Final = 2.0  # seconds between two exchanges
COUNTS: Final = "unkeyed "  # kind of a worker's counts, followed by its incarnation

Both = tuple[Counts, Counts]
"""Of legacy and async."""


class SeenTrials(NamedTuple):
    """Of one endpoint in one epoch: maps, and counts by worker."""

    report: UnitReport
    counts: Mapping[str, Both]


class UnitExchange:
    """`me` names this process: whose workers are long gone, so that nobody knows their names."""

    def __init__(self, collector: Collector, me: str) -> None:
        self._collector = collector
        self._me = me
        self._shared: dict[str, SeenTrials] = {}  # as last stored
        self._others: dict[str, SeenTrials] = {}  # as last read

    def own(self, labels: Mapping[str, str]) -> dict[str, SeenTrials]:
        """What our workers have seen in these epochs, by endpoint."""
        return {
            name: SeenTrials(report, self._counts(name, report.epoch))
            for name, report in self._collector.units(labels).items()
        }

    def _counts(self, endpoint: str, epoch: str) -> dict[str, Both]:
        found = self._collector.unkeyed(endpoint, epoch)
        return {incarnation or self._me: both for incarnation, both in found.items()}

    async def share(
        self, connection: AsyncConnection, own: Mapping[str, SeenTrials]
    ) -> dict[str, SeenTrials]:
        """Stores what is new; what was stored, to be `shared` once that is committed."""
        news = {name: seen for name, seen in own.items() if self._shared.get(name) != seen}
        for name in sorted(news):
            found = _kinds(news[name], self._shared.get(name))
            await rollouts.merge_units(connection, name, news[name].report.epoch, found)
        return news

    def shared(self, news: Mapping[str, SeenTrials]) -> None:
        self._shared.update(news)

    async def hear(self, connection: AsyncConnection, labels: Mapping[str, str]) -> None:
        """Reads what all have stored of these epochs."""
        found = {}
        for name, epoch in labels.items():
            if kinds := await rollouts.units(connection, name, epoch):
                found[name] = _seen(name, epoch, kinds)
        self._others = found

    def units(self, own: Mapping[str, SeenTrials], labels: Mapping[str, str]) -> dict[str, Units]:
        """Ours and those that were last heard of, by endpoint."""
        merged = {}
        for name, epoch in labels.items():
            found = [each for each in (self._others.get(name), own.get(name)) if each is not None]
            found = [each for each in found if each.report.epoch == epoch]
            if found:
                merged[name] = _units(epoch, found)
        return merged


def _kinds(seen: SeenTrials, before: SeenTrials | None) -> dict[str, bytes]:
    report = seen.report
    known = {} if before is None or before.report.epoch != report.epoch else before.counts
    maps = {kind: getattr(report, kind) for kind in rollouts.MAPS}
    found = {kind: bytes(map) for kind, map in maps.items() if map}
    for incarnation, both in seen.counts.items():
        if known.get(incarnation) != both and both != (NONE, NONE):
            found[COUNTS + incarnation] = msgspec.json.encode(both)
    return found


def _seen(endpoint: str, epoch: str, kinds: Mapping[str, bytes]) -> SeenTrials:
    active, failing, refused, slower = (
        kinds.get(kind, b"") for kind in ("active", "failing", "refused", "slower")
    )
    counts = {
        kind.removeprefix(COUNTS): msgspec.json.decode(value, type=Both)
        for kind, value in kinds.items()
        if kind.startswith(COUNTS) and value
    }
    return SeenTrials(UnitReport(endpoint, epoch, active, failing, refused, slower, NONE, NONE), counts)


def _units(epoch: str, found: list[SeenTrials]) -> Units:
    counts: dict[str, Both] = {}
    units = Units(epoch)
    for seen in found:
        report = seen.report
        maps = (report.failing, report.refused, report.slower)
        units = units | reported(epoch, report.active, maps, NONE, NONE)
        counts.update(seen.counts)
    legacy, async_ = NONE, NONE
    for one, other in counts.values():
        legacy, async_ = added(legacy, one), added(async_, other)
    return units._replace(legacy=legacy, async_=async_)
