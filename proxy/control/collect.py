"""Adds up the workers' statistics. A counter never decreases, whichever process dies."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import msgspec

from proxy.control.kept_totals import KeptTotals
from proxy.control.trials import CollectedTrials
from proxy.core.evidence import stats
from proxy.core.evidence.units import Counts
from proxy.core.forwarding import addresses
from proxy.core.traffic.history import History
from proxy.core.traffic.totals import EMPTY, Fared, Figures, Series, Window, merge, merge_breakers, overlay
from proxy.core.wire.messages import Stats, UnitReport

MAX_UNLISTED = 1000  # paths of workers that are long gone; the ledger has them, and the latest stand last
REMEMBERED = 64  # departed workers whose totals are kept apart, in case they only reconnect


class Collector:
    """Totals by worker incarnation. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = Window(clock())
        self.history = History(clock())
        self.restarts = 0  # of time: a worker was adopted
        self._live: dict[str, Stats | None] = {}  # None: adopted, nothing heard yet
        self._departed: OrderedDict[str, Stats] = OrderedDict()
        self._base = EMPTY
        self._trials = CollectedTrials()
        self.resumed = EMPTY  # what the process before us had counted
        self._unheard: dict[str, Stats] = {}  # of it, by worker: those that nothing was heard of since

    def resume(self, kept: KeptTotals) -> None:
        """Goes on from what the process before us had counted. Call it before any worker joins."""
        self._base, self._unheard = kept.base, dict(kept.workers)
        self.resumed = self.totals()
        self._begin_again()

    def begin_anew(self) -> None:
        """No worker of the process before us serves any more: the counters begin at zero."""
        if self._unheard or self._base is not EMPTY:
            self._base, self._unheard = EMPTY, {}
            self._begin_again()

    def kept(self) -> KeptTotals:
        """What the process after us has to know."""
        heard = {name: _at_rest(totals) for name, totals in self._live.items() if totals is not None}
        return KeptTotals(merge([self._base, *self._departed.values()]), {**self._unheard, **heard})

    def _begin_again(self) -> None:
        """What was counted until now has no place in time."""
        self.restarts += 1
        self.history.restart(self._clock(), self.totals())

    def joined(self, incarnation: str, *, fresh: bool) -> None:
        """A worker connected. If it is not new, its earlier counts are not traffic of this minute."""
        if incarnation not in self._live:
            known = self._departed.pop(incarnation, None)
            self._live[incarnation] = EMPTY if known is None and fresh else known

    def record(self, incarnation: str, totals: Stats) -> None:
        """Newer totals of a worker that joined.

        Histograms of another shape are left out: an adopted worker may be of another version.
        """
        fitting = [line for line in totals.latencies if len(line.counts) == len(stats.BOUNDS) + 1]
        if len(fitting) != len(totals.latencies):
            totals = msgspec.structs.replace(totals, latencies=fitting)
        if totals.units:  # kept in one piece for all workers: maps of each would take too much
            self._trials.record(incarnation, totals.units)
            totals = msgspec.structs.replace(totals, units=[])
        older = self._live.get(incarnation)
        now = self._clock()
        if older is not None:
            self._window.add(now, older, totals)
        self._live[incarnation] = overlay(older or EMPTY, totals)
        self._unheard.pop(incarnation, None)
        if older is None:  # of an adopted worker: what it counted before has no place in time
            self._begin_again()
        elif self.history.is_due(now):
            self.history.add(now, self.totals())

    def left(self, incarnation: str) -> None:
        """A worker has exited; its counts are kept."""
        totals = self._live.pop(incarnation, None) or self._unheard.pop(incarnation, None)
        if totals is None:
            return
        self._departed[incarnation] = _at_rest(totals)
        if len(self._departed) > REMEMBERED:
            _, oldest = self._departed.popitem(last=False)
            base = merge([self._base, oldest])
            self._base = msgspec.structs.replace(base, unlisted=base.unlisted[-MAX_UNLISTED:])

    def totals(self) -> Stats:
        """The sum over all present and past workers."""
        live = [totals for totals in self._live.values() if totals is not None]
        return merge([self._base, *self._departed.values(), *self._unheard.values(), *live])

    def signals(self) -> Stats:
        """What the living workers see now: only breakers, addresses, crowds and the store, which is cheap."""
        live = [totals for totals in self._live.values() if totals is not None]
        return msgspec.structs.replace(
            EMPTY,
            breakers=merge_breakers(line for totals in live for line in totals.breakers),
            addresses=addresses.merge(line for totals in live for line in totals.addresses),
            full=min((totals.full for totals in live if totals.full >= 0), default=-1.0),
            store=next((totals.store for totals in live if totals.store), ""),
        )

    def fared(self) -> Fared:
        """How the requests of the last minute have fared."""
        return self._window.fared(self._clock())

    def units(self, labels: Mapping[str, str]) -> dict[str, UnitReport]:
        """Of endpoints in a rollout, by the labels of their epochs: see `CollectedTrials.units`."""
        return self._trials.units(labels)

    def unkeyed(self, endpoint: str, epoch: str) -> dict[str, tuple[Counts, Counts]]:
        """Of the same, by worker: requests without a key on legacy and on async."""
        return self._trials.counts(endpoint, epoch)

    def step(self, source: str, keys: Mapping[str, Hashable]) -> None:
        """See `History.step`."""
        self.history.step(self._clock(), self.totals(), source, keys)

    def evidence_seconds(self, endpoint: str) -> float:
        """How long the sample of this endpoint in `history.recent` has been collected."""
        return self._clock() - self.history.began(endpoint)

    def figures(self) -> dict[Series, Figures]:
        """By (endpoint, backend), over the last minute."""
        return self._window.figures(self._clock())


def _at_rest(totals: Stats) -> Stats:
    """What stays of them when the worker is not there any more."""
    return msgspec.structs.replace(totals, connections=0, breakers=[], addresses=[], full=-1.0, store="")
