"""How long a plan takes at a given traffic, if async is as good as legacy. For `rollout plan`, and for those
who choose a plan. Pure; figures are expectations, no promises."""

from __future__ import annotations

from math import expm1, inf, log, log1p
from typing import Final, NamedTuple

from proxy.core.evidence.sequential import CONFIDENCE, missing_units
from proxy.core.evidence.units import BUCKETS, UNITS
from proxy.core.rollout.criteria import failing_limit
from proxy.core.rollout.evidence import epoch_seconds, slower_ratios
from proxy.core.settings import FULL_WEIGHT, RolloutPlan

SLOW: Final = 0.05  # of the answers are above the 95th percentile


class StepForecast(NamedTuple):
    """How long the rollout stays at `weight`; `seconds` is None if it would never leave. What each condition
    of the plan takes alone, by its name."""

    weight: int
    seconds: float | None
    conditions: dict[str, float | None]


def forecast(plan: RolloutPlan, rate: float, failing: float = 0.0) -> list[StepForecast]:
    """At `rate` users per second, each counted once, of whom the share `failing` fails on both sides."""
    steps = zip(plan.steps, (*plan.steps[1:], None), strict=True)
    return [_step(plan, weight, target, rate, failing) for weight, target in steps]


def _step(plan: RolloutPlan, weight: int, target: int | None, rate: float, failing: float) -> StepForecast:
    conditions: dict[str, float | None] = {"dwell": plan.dwell}
    if weight and target is not None:
        share, advance = weight / FULL_WEIGHT, plan.advance
        if advance.failing is not None:
            bound = failing_limit(advance.failing, target)
            conditions["failing"] = _bounded(plan, rate * share, bound, failing, weight)
        if advance.no_worse is not None:
            conditions["no_worse"] = _proven(rate * failing, share, advance.no_worse)
        for step, ratio in slower_ratios(plan, weight).items():
            if step == target:
                conditions["slower"] = _proven(rate * SLOW, share, ratio)
    return StepForecast(weight, _together(conditions), conditions)


def _together(conditions: dict[str, float | None]) -> float | None:
    """All of them, but of `failing` and `no_worse` the sooner."""
    either = [conditions[name] for name in ("failing", "no_worse") if name in conditions]
    known = [each for each in either if each is not None]
    rest = [each for name, each in conditions.items() if name not in ("failing", "no_worse")]
    if either:
        rest.append(min(known, default=None))
    longest = max(inf if each is None else each for each in rest)
    return None if longest == inf else longest


def _bounded(plan: RolloutPlan, rate: float, bound: float, failing: float, weight: int) -> float | None:
    """Whole epochs until the windows of enough users are over."""
    if bound >= 1:
        return 0.0
    if failing >= bound or not rate:
        return None
    users = float(missing_units(0, 0, bound))
    for _ in range(20):  # those that fail ask for more, of whom some fail
        users = missing_units(round(users * failing), round(users), bound) + round(users)
        if users > UNITS // BUCKETS * weight:
            return None
        if not missing_units(round(users * failing), round(users), bound):
            break
    epoch = epoch_seconds(plan)
    return -(-(users / rate) // epoch) * epoch


def _proven(failures: float, share: float, ratio: float) -> float | None:
    """Until E = 20, from what one failure adds on average where both sides are alike."""
    gained = log1p(share * expm1(log(ratio))) - share * log(ratio)
    return CONFIDENCE / (failures * gained) if failures * gained > 0 else None
