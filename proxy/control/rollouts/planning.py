"""A dry run: how long a plan would take an endpoint at the traffic of now."""

from __future__ import annotations

from typing import NamedTuple

from proxy.control.collect import Collector
from proxy.control.errors import Refusal
from proxy.control.rollouts.listed import NO_ROLLOUT, listed
from proxy.core.rollout.forecast import StepForecast, forecast
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import BACKENDS, LEGACY, RolloutPlan
from proxy.core.traffic.totals import QUIET


class DryRun(NamedTuple):
    """`rate` are requests per second in the last minute, each taken for a user's; `failing` is the share of
    legacy's that failed."""

    endpoint: str
    plan: RolloutPlan
    rate: float
    failing: float
    steps: tuple[StepForecast, ...]

    @property
    def seconds(self) -> float | None:
        """From beginning to end; None for never."""
        known = [each.seconds for each in self.steps if each.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None


def dry_run(snapshot: Snapshot, collector: Collector, name: str, plan_name: str) -> DryRun:
    """`plan_name` "" is the endpoint's own. Raises Refusal."""
    endpoint = listed(snapshot, name)
    plans = {each.name: each for each in snapshot.plans}
    plan = endpoint.plan if not plan_name else plans.get(plan_name)
    if plan is None:
        known = f"name a plan: {', '.join(plans)}" if plans else "the configuration has no plans"
        what = f"{plan_name} is not a plan" if plan_name else NO_ROLLOUT.format(name)
        raise Refusal(404, f"{what}; {known}")
    figures = collector.figures()
    minute = [figures.get((name, side), QUIET) for side in BACKENDS]
    rate = sum(each.requests_per_second for each in minute)
    failing = figures.get((name, LEGACY), QUIET).error_rate or 0.0
    return DryRun(name, plan, rate, failing, tuple(forecast(plan, rate, failing)))
