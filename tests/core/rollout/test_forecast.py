from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.rollout.forecast import forecast
from proxy.core.settings import Advance, RolloutPlan
from tests.core.rollout.support import PLAN


def total(plan: RolloutPlan, rate: float, failing: float = 0.0) -> float:
    found = [step.seconds for step in forecast(plan, rate, failing)]
    assert None not in found
    return sum(each or 0.0 for each in found)


def test_with_much_traffic_only_dwell_counts() -> None:
    assert total(PLAN, 1000.0) == len(PLAN.steps) * PLAN.dwell


def test_the_last_step_waits_for_357_users_in_whole_epochs() -> None:
    last = forecast(PLAN, 1.0)[-2]
    assert (last.weight, last.conditions["failing"], last.seconds) == (5000, 1200.0, 1200.0)


def test_less_traffic_takes_longer_and_a_stricter_plan_too() -> None:
    strict = replace(PLAN, advance=Advance(failing=0.001, slower=None, parity=None))
    assert total(PLAN, 0.5) > total(PLAN, 5.0)
    assert total(strict, 5.0) > total(PLAN, 5.0)


def test_failures_on_both_sides_leave_only_the_comparison() -> None:
    alone = replace(PLAN, advance=Advance(no_worse=None, slower=None, parity=None))
    assert forecast(alone, 100.0, failing=0.05)[-2].seconds is None
    assert total(PLAN, 100.0, failing=0.05) < 86_400


def test_slowness_costs_what_evidence_of_equals_costs() -> None:
    """About 720 slow answers for a ratio of 1.2 at 50 %: 14,400 users."""
    plan = replace(PLAN, advance=Advance(parity=None))
    assert forecast(plan, 10.0)[-2].conditions["slower"] == pytest.approx(14_400 / 10, rel=0.05)
