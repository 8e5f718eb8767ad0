"""Counts the trials of endpoints in a rollout: which users had one on either side, and whom it failed.

A trial is the first attempt of a request that the weight sent where it went, judged before any retry or
fallback makes up for it. Both sides are judged alike, or the better treated one would look healthier. Users
are bits of a map (`buckets.UNITS`), so that what several workers saw is one OR; requests without a key are
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Final

from proxy.core.http1.response import ResponseHead
from proxy.core.routing.buckets import UNITS
from proxy.core.routing.decide import Decision
from proxy.core.settings import ASYNC, Endpoint
from proxy.core.wire.messages import EndpointPosition, UnitReport

MAX_REPORTED = 50  # endpoints in one report, of up to 40 KB each; the others come with the next ones
MAX_VERSION: Final = 100  # characters

KEYLESS: Final = -1
FAILING: Final = 1
REFUSED: Final = 2
SLOWER: Final = 4


class EndpointTrials:
    """Of one endpoint, since its epoch began. Maps are made when they are needed."""

    __slots__ = (
        "_raw_version",
        "active",
        "async_",
        "endpoint",
        "epoch",
        "failing",
        "heard",
        "legacy",
        "refused",
        "slow",
        "slower",
        "untold",
        "version",
    )

    def __init__(self, endpoint: str, epoch: str, slow: float | None) -> None:
        self.endpoint: Final = endpoint
        self.epoch: Final = epoch
        self.slow = slow  # seconds to the head of an answer; None: not judged
        self.active: bytearray | None = None
        self.failing: bytearray | None = None
        self.refused: bytearray | None = None
        self.slower: bytearray | None = None
        self.legacy = [0, 0, 0, 0]  # without a key: how many, and of each kind
        self.async_ = [0, 0, 0, 0]
        self.version = ""
        self._raw_version: bytes | None = None
        self.heard = False  # async's version, since the last report; to look for it each time costs too much
        self.untold = False  # something changed since the last report

    def count(self, unit: int, on_async: bool, faults: int) -> None:
        """One trial; `faults` are the kinds of which it failed, added up."""
        self.untold = True
        if unit == KEYLESS:
            (self.async_ if on_async else self.legacy)[0] += 1
        else:
            self.active = _with(self.active, unit)
        if faults:
            self.blame(unit, on_async, faults)

    def blame(self, unit: int, on_async: bool, faults: int) -> None:
        """A trial that was counted failed after all."""
        self.untold = True
        if unit == KEYLESS:
            counts = self.async_ if on_async else self.legacy
            counts[1] += faults & FAILING != 0
            counts[2] += faults & REFUSED != 0
            counts[3] += faults & SLOWER != 0
            return
        if faults & FAILING:
            self.failing = _with(self.failing, unit)
        if faults & REFUSED:
            self.refused = _with(self.refused, unit)
        if faults & SLOWER:
            self.slower = _with(self.slower, unit)

    def hear(self, version: bytes | None) -> None:
        """The x-version of an answer by async."""
        self.heard = True
        if version is not None and version != self._raw_version:
            self._raw_version = version
            self.version = version.decode("latin-1")[:MAX_VERSION]
            self.untold = True

    def report(self) -> UnitReport:
        return UnitReport(
            self.endpoint,
            self.epoch,
            bytes(self.active or b""),
            bytes(self.failing or b""),
            bytes(self.refused or b""),
            bytes(self.slower or b""),
            (self.legacy[0], self.legacy[1], self.legacy[2], self.legacy[3]),
            (self.async_[0], self.async_[1], self.async_[2], self.async_[3]),
            self.version,
        )


def _with(map: bytearray | None, unit: int) -> bytearray:
    if map is None:
        map = bytearray(UNITS // 8)
    map[unit >> 3] |= 1 << (unit & 7)
    return map


class RequestTrial:
    """The first attempt at one request. `unit` is KEYLESS without a sticky key.

    `counts`: else only the version is heard, of a request that is on async at somebody's wish.
    """

    __slots__ = ("_began", "_counts", "_judged", "_on_async", "_trials", "_unit")

    def __init__(self, trials: EndpointTrials, unit: int, on_async: bool, counts: bool) -> None:
        self._trials: Final = trials
        self._unit: Final = unit
        self._on_async: Final = on_async
        self._counts: Final = counts
        self._began = 0.0
        self._judged = -1  # the faults by which it was judged

    def begin(self) -> None:
        """The backend has all that it waits for: from now on it is timed."""
        self._began = perf_counter()

    def answered(self, response: ResponseHead) -> None:
        """The head of the final answer is here."""
        if self._on_async and not self._trials.heard:
            self._trials.hear(response.get(b"x-version"))
        if self._counts and self._judged < 0:
            status = response.status
            faults = self._late()
            if status >= 500:
                faults |= FAILING
            elif status >= 400:
                faults |= REFUSED
            self._judged = faults
            self._trials.count(self._unit, self._on_async, faults)

    def failed(self) -> None:
        """There is no answer, or no whole one."""
        if not self._counts:
            return
        if self._judged < 0:
            self._judged = FAILING | self._late()
            self._trials.count(self._unit, self._on_async, self._judged)
        elif not self._judged & FAILING:
            self._judged |= FAILING
            self._trials.blame(self._unit, self._on_async, FAILING)

    def left(self) -> None:
        """The client did not wait for the head any longer: no trial, unless it had waited for long."""
        if self._counts and self._judged < 0 and self._late():
            self._judged = SLOWER
            self._trials.count(self._unit, self._on_async, SLOWER)

    def _late(self) -> int:
        """SLOWER if the head took, or has taken by now, longer than it may; else 0."""
        slow = self._trials.slow
        if slow is None or not self._began:
            return 0
        return SLOWER if perf_counter() - self._began > slow else 0


class WorkerTrials:
    """Of one worker: of all endpoints in a rollout that is under way."""

    __slots__ = ("_endpoints", "_untold")

    def __init__(self) -> None:
        self._endpoints: dict[str, EndpointTrials] = {}
        self._untold: list[str] = []  # of the last round of reports, those that it had no place for

    def apply(self, positions: Mapping[str, EndpointPosition]) -> None:
        """Those of another epoch begin anew; requests under way still have the former ones, and lose them."""
        kept: dict[str, EndpointTrials] = {}
        for name, position in positions.items():
            if not position.epoch:
                continue
            trials = self._endpoints.get(name)
            if trials is None or trials.epoch != position.epoch:
                trials = EndpointTrials(name, position.epoch, position.slow)
            trials.slow = position.slow
            kept[name] = trials
        self._endpoints = kept

    def begin(self, endpoint: Endpoint, decision: Decision) -> RequestTrial | None:
        """None for what tells nothing: its endpoint is in no rollout, or a breaker or the like sent it."""
        trials = self._endpoints.get(endpoint.name)
        if trials is None:
            return None
        reason, on_async = decision.reason, decision.backend == ASYNC
        counts = reason == "weight" or reason == "unkeyed"
        if not counts and not (on_async and reason == "override"):
            return None
        unit = decision.unit
        return RequestTrial(trials, KEYLESS if unit is None else unit, on_async, counts)

    def reports(self, *, changed: bool) -> list[UnitReport]:
        """All, or those that `changed` since they were told; never more than MAX_REPORTED, the rest next."""
        if not changed:
            self._untold = []
        for each in self._endpoints.values():
            each.heard = False
            each.untold = each.untold or not changed
        waiting = [name for name in self._untold if name in self._endpoints]
        known = set(waiting)
        waiting += [name for name, each in self._endpoints.items() if each.untold and name not in known]
        told = []
        for name in waiting[:MAX_REPORTED]:
            trials = self._endpoints[name]
            trials.untold = False
            told.append(trials.report())
        self._untold = waiting[MAX_REPORTED:]
        return told

    @property
    def untold(self) -> bool:
        """Whether the last report had no place for some."""
        return bool(self._untold)
