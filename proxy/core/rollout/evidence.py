"""What the users of one endpoint say about async while its rollout stands at a step. Pure values.

Two stretches of time are watched at once. The *epoch* begins afresh every ten minutes, so that a shared
outage, in which everybody failed, blinds the evidence for no longer than that. The *step* goes on for as
long as the weight does, so that a fault that shows once an hour adds up. Each counts first failures only, and
the mean of two e-values is an e-value: that mean is compared with the threshold.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, Final

from proxy.core.evidence.sequential import (
    AtRisk,
    Trial,
    log_mean_exp,
    no_worse,
    no_worse_units,
    sample_ratio,
)
from proxy.core.evidence.units import (
    KINDS,
    NO_UNITS,
    NOBODY,
    Counts,
    Kind,
    Sides,
    Units,
    UnitTally,
    dealt,
    grown,
    read,
    sides,
    write,
)
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import FULL_WEIGHT, RolloutPlan

WINDOW: Final = 600.0  # seconds: the longest epoch
SHORTEST: Final = 1.0


def epoch_seconds(plan: RolloutPlan) -> float:
    return max(SHORTEST, min(WINDOW, plan.dwell))


def kinds(plan: RolloutPlan) -> tuple[Kind, ...]:
    """Those that count: `slower: off` is not asked, also not for a rollback."""
    return KINDS if plan.advance.slower is not None else KINDS[:2]


def slower_ratios(plan: RolloutPlan, weight: int) -> dict[int, float]:
    """For each later step: below how many times legacy's odds async's odds of a slow answer have to be.

    As with failures, at a smaller weight more is forgiven: of all users together no more than `slower` times
    as many may get slow answers.
    """
    margin = plan.advance.slower
    if margin is None:
        return {}
    return {step: 1 + (margin - 1) * FULL_WEIGHT / step for step in plan.steps if step > weight}


NOTHING_SEEN: Final = UnitTally(NOBODY, 0)


@dataclass(frozen=True, slots=True)
class Windows:
    """Of units whose first window in this step is over, and requests without a key: how many failed in it."""

    legacy: int = 0
    legacy_failed: int = 0
    async_: int = 0
    async_failed: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """`epoch` is what this epoch saw, `whole` the maps of the whole step, `counted` whose window is over.

    `spent` counts the epochs before this one in which anything failed: one without a failure cannot have
    rolled anything back, and costs the later ones nothing. `endpoints` are those of the plan when the attempt
    began. `fresh` are units that were new to async in the last whole epoch, per second.
    """

    attempt: int = 0
    stepped: float = 0.0
    weight: int = 0
    endpoints: int = 1
    spent: int = 0
    touched: bool = False  # something failed in this epoch
    epoch: UnitTally = NOTHING_SEEN
    whole: UnitTally = NOTHING_SEEN
    counted: int = 0
    windows: Windows = Windows()
    in_epoch: tuple[Trial, ...] = ()
    in_step: tuple[Trial, ...] = ()
    failing_no_worse: float = 0.0
    slower_bounded: Mapping[int, float] = field(default_factory=dict)  # by the weight of a later step
    fresh: float = 0.0
    alarm: float = 0.0  # when too many failed at 100; 0: they did not

    @property
    def now(self) -> Units:
        return self.epoch.units

    @property
    def step(self) -> Units:
        return self.whole.units

    # What it says

    @property
    def number(self) -> int:
        """k: of this epoch, among those of the attempt in which something failed."""
        return self.spent + 1

    def threshold(self, plan: RolloutPlan) -> float:
        """log of what E has to reach for a rollback: over all epochs, kinds and endpoints a chance of
        alpha."""
        tries = self.number * (self.number + 1) * len(kinds(plan)) * self.endpoints
        return log(tries / plan.alpha)

    def log_e(self, kind: Kind) -> float:
        index = KINDS.index(kind)
        if index >= len(self.in_epoch):
            return 0.0
        return log_mean_exp([self.in_epoch[index].log_e, self.in_step[index].log_e])

    def log_e_step(self, kind: Kind) -> float:
        index = KINDS.index(kind)
        return self.in_step[index].log_e if index < len(self.in_step) else 0.0

    def active(self) -> Sides:
        """Units of this epoch, and its requests without a key."""
        return _with_requests(self.epoch, 0)

    def failed(self, kind: Kind = "failing") -> Sides:
        return _with_requests(self.epoch, KINDS.index(kind) + 1)

    def failed_in_step(self, kind: Kind) -> Sides:
        """Units of the whole step; of requests without a key those of this epoch."""
        return _with_requests(self.whole, KINDS.index(kind) + 1)

    def active_in_step(self) -> Sides:
        return _with_requests(self.whole, 0)

    def pending(self) -> int:
        """Units of async, and requests without a key, whose window ends with this epoch."""
        fresh = self.now.active & ~self.counted
        return sides(fresh, self.weight).async_ + self.now.async_[0]

    def dealt_wrongly(self, unkeyed_dealt: bool) -> float:
        """log of the evidence that async's share of this epoch's units is not what the weight says."""
        if not 0 < self.weight < FULL_WEIGHT:
            return 0.0
        found = self.active() if unkeyed_dealt else self.epoch.counts[0]
        return sample_ratio(found.async_, found.legacy, self.weight / FULL_WEIGHT)

    def unkeyed_share(self) -> float:
        """Of the units of this epoch, how many are requests without a key."""
        unkeyed = self.now.legacy[0] + self.now.async_[0]
        return unkeyed / max(1, unkeyed + self.now.active.bit_count())

    # How it grows

    def placed(self, plan: RolloutPlan, position: RolloutPosition, endpoints: int) -> Evidence:
        """For where the rollout stands by now: begun afresh by another attempt or step, else the next
        epoch."""
        if self.attempt != position.attempt:
            return _empty(plan, position, endpoints)
        if (self.stepped, self.weight) != (position.stepped, position.weight):
            fresh = _empty(plan, position, self.endpoints)
            return replace(fresh, spent=self.spent + self.touched)
        if self.now.epoch != position.label:
            return self.closed(plan, position.label, epoch_seconds(plan))
        return self

    def closed(self, plan: RolloutPlan, label: str, seconds: float) -> Evidence:
        """The epoch is over: the windows of its units are, and E begins afresh."""
        first = self.now.active & ~self.counted
        here = sides(first, self.weight)
        failed = sides(first & self.now.failing, self.weight)
        legacy, async_, windows = self.now.legacy, self.now.async_, self.windows
        return replace(
            self,
            spent=self.spent + self.touched,
            touched=False,
            epoch=UnitTally(Units(label), self.weight, NO_UNITS),
            counted=self.counted | first,
            windows=Windows(
                windows.legacy + here.legacy + legacy[0],
                windows.legacy_failed + failed.legacy + legacy[1],
                windows.async_ + here.async_ + async_[0],
                windows.async_failed + failed.async_ + async_[1],
            ),
            in_epoch=_trials(plan),
            fresh=(here.async_ + async_[0]) / max(SHORTEST, seconds),
        )

    def after(self, plan: RolloutPlan, seen: Units, unkeyed_dealt: bool = True) -> Evidence:
        """One look later. Reports of another epoch say nothing."""
        if seen.epoch != self.now.epoch or seen == self.now:
            return self
        now, step = self.epoch.with_(seen), self.whole.with_(seen)
        if not 0 < self.weight < FULL_WEIGHT:
            failed = now.counts[1] != self.epoch.counts[1] or seen.async_[1] != self.now.async_[1]
            touched = self.touched or (failed and self.weight > 0)
            return replace(self, epoch=now, whole=step, touched=touched)
        return replace(self, epoch=now, whole=step)._judged(plan, self, unkeyed_dealt)

    def _judged(self, plan: RolloutPlan, before: Evidence, unkeyed_dealt: bool) -> Evidence:
        """What those say who failed since `before`."""
        legacy, async_ = grown(before.now.legacy, self.now.legacy), grown(before.now.async_, self.now.async_)
        epoch, whole, touched = list(self.in_epoch), list(self.in_step), self.touched
        no_worse_yet, bounded = self.failing_no_worse, dict(self.slower_bounded)
        for place, kind in enumerate(KINDS):
            inner, outer = self.epoch.event(before.epoch, kind), self.whole.event(before.whole, kind)
            x = async_[place + 1] if unkeyed_dealt else 0
            unkeyed = x + legacy[place + 1] if unkeyed_dealt else 0
            if inner is None and outer is None and not unkeyed:
                continue
            epoch[place] = self._bet(epoch[place], inner, x, unkeyed)
            whole[place] = self._bet(whole[place], outer, x, unkeyed)
            touched = True
            if kind == "failing" and plan.advance.no_worse is not None:
                no_worse_yet += self._no_worse(outer, x, unkeyed, plan.advance.no_worse)
            if kind == "slower":
                for weight, ratio in slower_ratios(plan, self.weight).items():
                    bounded[weight] = bounded.get(weight, 0.0) + self._no_worse(outer, x, unkeyed, ratio)
        return replace(
            self,
            touched=touched,
            in_epoch=tuple(epoch),
            in_step=tuple(whole),
            failing_no_worse=no_worse_yet,
            slower_bounded=bounded,
        )

    def alarmed(self, since: float) -> Evidence:
        return replace(self, alarm=since)

    def _bet(self, trial: Trial, seen: AtRisk | None, failed_async: int, failed: int) -> Trial:
        if seen is not None:
            trial = trial.after(seen)
        return trial.after_requests(failed_async, failed, self.weight / FULL_WEIGHT)

    def _no_worse(self, seen: AtRisk | None, failed_async: int, failed: int, ratio: float) -> float:
        found = no_worse_units(seen, ratio) if seen is not None else 0.0
        return found + no_worse(failed_async, failed, self.weight / FULL_WEIGHT, ratio)

    # Whom a step would move

    def moves(self, low: int, high: int, unkeyed_dealt: bool = True) -> bool:
        """Whether anybody who was active in this step is on async at `high` and not at `low`."""
        if self.step.active & dealt(low, high):
            return True
        unkeyed = self.step.legacy[0] + self.step.async_[0]
        return unkeyed > 0 and (unkeyed_dealt or high == FULL_WEIGHT)

    # Its JSON

    def as_json(self) -> dict[str, Any]:
        return {
            "attempt": self.attempt,
            "stepped": self.stepped,
            "weight": self.weight,
            "endpoints": self.endpoints,
            "spent": self.spent,
            "touched": self.touched,
            "now": _units_json(self.now),
            "step": _units_json(self.step),
            "counted": _map_json(self.counted),
            "windows": [
                self.windows.legacy,
                self.windows.legacy_failed,
                self.windows.async_,
                self.windows.async_failed,
            ],
            "in_epoch": [each.logs for each in self.in_epoch],
            "in_step": [each.logs for each in self.in_step],
            "failing_no_worse": self.failing_no_worse,
            "slower_bounded": {str(weight): log_e for weight, log_e in self.slower_bounded.items()},
            "fresh": self.fresh,
            "alarm": self.alarm,
        }


NOTHING: Final = Evidence()


def from_json(plan: RolloutPlan, data: Mapping[str, Any]) -> Evidence:
    """What `as_json` made. Raises ValueError if it is something else; then the attempt's epoch begins
    afresh."""
    try:
        margins = [each.margin for each in _trials(plan)]
        return Evidence(
            attempt=int(data["attempt"]),
            stepped=float(data["stepped"]),
            weight=int(data["weight"]),
            endpoints=int(data["endpoints"]),
            spent=int(data["spent"]),
            touched=bool(data["touched"]),
            epoch=UnitTally(_units(data["now"]), int(data["weight"])),
            whole=UnitTally(_units(data["step"]), int(data["weight"])),
            counted=_map(data["counted"]),
            windows=_windows(data["windows"]),
            in_epoch=tuple(map(Trial, margins, data["in_epoch"])),
            in_step=tuple(map(Trial, margins, data["in_step"])),
            failing_no_worse=float(data["failing_no_worse"]),
            slower_bounded={int(weight): float(log_e) for weight, log_e in data["slower_bounded"].items()},
            fresh=float(data["fresh"]),
            alarm=float(data["alarm"]),
        )
    except (AttributeError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"not the evidence of a rollout: {error!r}") from error


def _empty(plan: RolloutPlan, position: RolloutPosition, endpoints: int) -> Evidence:
    return Evidence(
        attempt=position.attempt,
        stepped=position.stepped,
        weight=position.weight,
        endpoints=max(1, endpoints),
        epoch=UnitTally(Units(position.label), position.weight, NO_UNITS),
        whole=UnitTally(NOBODY, position.weight, NO_UNITS),
        in_epoch=_trials(plan),
        in_step=_trials(plan),
    )


def _with_requests(tally: UnitTally, place: int) -> Sides:
    """Units, and requests without a key: of each a unit of its own."""
    keyed, units = tally.counts[place], tally.units
    return Sides(keyed.legacy + units.legacy[place], keyed.async_ + units.async_[place])


def _trials(plan: RolloutPlan) -> tuple[Trial, ...]:
    return tuple(Trial(plan.advance.slower or 1.0) if kind == "slower" else Trial() for kind in KINDS)


def _map_json(units: int) -> str:
    return base64.b64encode(zlib.compress(write(units), 1)).decode()


def _map(data: str) -> int:
    return read(zlib.decompressobj().decompress(base64.b64decode(data, validate=True), 1 << 20))


def _units_json(units: Units) -> list[Any]:
    maps = (units.active, units.failing, units.refused, units.slower)
    return [units.epoch, *map(_map_json, maps), list(units.legacy), list(units.async_)]


def _units(data: list[Any]) -> Units:
    epoch, active, failing, refused, slower, legacy, async_ = data
    return Units(
        str(epoch), _map(active), _map(failing), _map(refused), _map(slower), _counts(legacy), _counts(async_)
    )


def _windows(data: list[Any]) -> Windows:
    legacy, legacy_failed, async_, async_failed = map(int, data)
    return Windows(legacy, legacy_failed, async_, async_failed)


def _counts(data: list[Any]) -> Counts:
    total, failing, refused, slower = map(int, data)
    return (total, failing, refused, slower)
