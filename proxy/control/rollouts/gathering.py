"""Gathers what speaks for and against each rollout: one look a second at what this process sees."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.control.collect import Collector
from proxy.control.rollouts import legacy
from proxy.control.rollouts.about import About
from proxy.control.rollouts.versions import Versions
from proxy.control.verdicts import GRAVE, Verdicts
from proxy.core.comparison.comparisons import DRY_RUN, READ_BACK
from proxy.core.comparison.parity import Parity, nothing
from proxy.core.evidence.units import Units
from proxy.core.forwarding import addresses
from proxy.core.rollout.facts import Facts, ParitySeen
from proxy.core.rollout.hours import Hours, parse_hours
from proxy.core.rollout.position import RolloutPosition
from proxy.core.routing.phases import RolloutStanding, waiting
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY, Endpoint
from proxy.core.traffic.totals import QUIET, Figures, Series
from proxy.core.wire.messages import OpenBreaker
from proxy.store.rollouts import Freeze

ENOUGH: Final = 50  # requests before the share of those without a key means anything


class RolloutLook(NamedTuple):
    """What is seen now of all endpoints together. `units` are those of each position's epoch."""

    now: float
    snapshot: Snapshot
    waiting: Mapping[str, str]  # for their phase, by endpoint
    freeze: Freeze
    unavailable: str
    open_breakers: frozenset[str]
    failing: tuple[str, ...]
    figures: Mapping[Series, Figures]
    units: Mapping[str, Units]
    chosen: Mapping[str, int]  # requests that the weight, or chance, sent where they went
    version: str
    stable: float


class Gatherer:
    """`wall` is the clock on the wall, which the hours of a plan go by."""

    def __init__(
        self, collector: Collector, verdicts: Verdicts, wall: Callable[[], float] = time.time
    ) -> None:
        self._collector = collector
        self._verdicts = verdicts
        self._wall = wall
        self._versions = Versions()
        self._keyless = Keyless()

    def look(
        self,
        now: float,
        snapshot: Snapshot,
        standing: RolloutStanding,
        freeze: Freeze,
        unavailable: str,
        units: Mapping[str, Units],
        versions: Mapping[str, str],
    ) -> RolloutLook:
        """`units` and async's `versions` are what trials have shown, by endpoint."""
        if any(each.plan is not None and each.plan.advance.parity is not None for each in snapshot.endpoints):
            self._verdicts.refresh()
        signals = self._collector.signals()
        self._hear(snapshot, versions, now)
        return RolloutLook(
            now,
            snapshot,
            waiting(snapshot, standing),
            freeze,
            unavailable,
            _open(signals.breakers),
            tuple(addresses.unanswering(signals.addresses)),
            self._collector.figures(),
            units,
            self._chosen(),
            self._versions.version,
            self._versions.stable(now),
        )

    def facts(self, look: RolloutLook, endpoint: Endpoint, position: RolloutPosition, kept: About) -> Facts:
        plan = endpoint.plan
        assert plan is not None
        minute = {side: look.figures.get((endpoint.name, side), QUIET) for side in (LEGACY, ASYNC)}
        units = look.units.get(endpoint.name, Units(position.label))
        return Facts(
            units=units,
            unkeyed_dealt=endpoint.safe and look.snapshot.unkeyed == "random",
            unkeyed_share=self._keyless.share(endpoint.name, position.label, units, look.chosen),
            phase_blocked_by=look.waiting.get(endpoint.name, ""),
            parity=None if plan.advance.parity is None else self._parity(endpoint, minute),
            breaker_open=endpoint.name in look.open_breakers or ASYNC in look.open_breakers,
            legacy_worse=legacy.worse(kept, minute[LEGACY]),
            legacy_capacity=legacy.capacity(kept.peak, legacy.load(look.figures), look.failing),
            legacy_p95=minute[LEGACY].p95,
            frozen=_frozen(look.freeze),
            in_hours=_hours(plan.hours).is_open(self._wall()),
            unavailable=look.unavailable,
            version=look.version,
            stable_version_seconds=look.stable,
            rate=(minute[LEGACY].requests_per_second, minute[ASYNC].requests_per_second),
            endpoints_in_plan=sum(
                each.plan is not None and each.plan.name == plan.name for each in look.snapshot.endpoints
            ),
        )

    def about(self, look: RolloutLook, endpoint: str, position: RolloutPosition, kept: About) -> About:
        """With what is to be kept of legacy as it is now."""
        minute = look.figures.get((endpoint, LEGACY), QUIET)
        taken, _ = legacy.load(look.figures)
        kept = legacy.measured(kept, position.stepped, minute)
        return replace(kept, peak=taken) if taken > kept.peak else kept

    def _hear(self, snapshot: Snapshot, versions: Mapping[str, str], now: float) -> None:
        compared = self._verdicts.versions()
        self._versions.hear([("configuration", snapshot.async_.version)], now)
        self._versions.hear(((f"comparison {name}", each[1]) for name, each in compared.items()), now)
        self._versions.hear(versions.items(), now)

    def _chosen(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in self._collector.totals().requests:
            if line.reason in ("weight", "unkeyed"):
                found[line.endpoint] += line.count
        return found

    def _parity(self, endpoint: Endpoint, minute: Mapping[str, Figures]) -> ParitySeen:
        """Of a write, that of its read-back and its dry run: the worst."""
        names = [endpoint.name]
        if not endpoint.safe:
            names = [endpoint.name + suffix for suffix in (READ_BACK, DRY_RUN)]
        found = [each.parity for name in names if (each := self._verdicts.standings.get(name)) is not None]
        worst = min(found, key=lambda each: GRAVE[each.verdict], default=nothing(endpoint.compare.parity))
        return ParitySeen(worst.verdict, worst.bound, _until(worst, endpoint, minute))


class Keyless:
    """The share of requests without a sticky key, by endpoint, in its epoch."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[str, int]] = {}  # the epoch, and what was counted when it did
        self._share: dict[str, float] = {}

    def share(self, endpoint: str, epoch: str, units: Units, chosen: Mapping[str, int]) -> float:
        """As last known, until there are enough requests to say. `chosen` counts them by endpoint."""
        total = chosen.get(endpoint, 0)
        label, before = self._began.get(endpoint, ("", 0))
        if label != epoch:
            self._began[endpoint], before = (epoch, total), total
        if total - before >= ENOUGH:
            self._share[endpoint] = min(1.0, (units.legacy[0] + units.async_[0]) / (total - before))
        return self._share.get(endpoint, 0.0)


def _until(found: Parity, endpoint: Endpoint, minute: Mapping[str, Figures]) -> float | None:
    """Seconds until the bound is low enough, at this traffic; None for never."""
    if found.verdict == "differs":
        return None
    rate = endpoint.compare.sample * sum(each.requests_per_second for each in minute.values())
    return found.missing / rate if rate > 0 else None


def _open(breakers: Iterable[OpenBreaker]) -> frozenset[str]:
    """Those that keep requests from async. One whose time is over lets the next one through, but stays open
    until one comes: after a rollback to 0 that may be never."""
    return frozenset(each.name for each in breakers if each.state == "open" and each.seconds > 0)


def _frozen(freeze: Freeze) -> str:
    if not freeze.frozen:
        return ""
    return f"{freeze.reason} (by {freeze.author})" if freeze.author else freeze.reason


@lru_cache(maxsize=256)
def _hours(text: str) -> Hours:
    return parse_hours(text)
