"""Where a rollout goes, whatever the reason. Pure."""

from __future__ import annotations

from typing import Final

from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import RolloutPlan

SKEW: Final = 5.0  # seconds by which the clocks of two leaders may differ


def initial(plan: RolloutPlan, endpoint: str, now: float) -> RolloutPosition:
    """Of an endpoint that never had one: nothing moves before it was decided for the first time."""
    return RolloutPosition(endpoint, plan.name, "waiting", "has not begun", 0, 0, now, now)


def fallen(plan: RolloutPlan, position: RolloutPosition) -> tuple[int, int]:
    """Step and weight that a rollback goes to."""
    if plan.to == "previous" and position.step > 0:
        lower = [step for step in range(position.step) if plan.steps[step] < position.weight]
        if lower:
            return lower[-1], plan.steps[lower[-1]]
    return 0, 0


def again(position: RolloutPosition) -> RolloutPosition:
    """A new attempt from zero. It begins at the next decision, if nothing speaks against the first step."""
    return position._replace(
        state="waiting",
        step=0,
        weight=0,
        attempt=position.attempt + 1,
        epoch=1,
        epoch_began=0.0,
        slow=None,
        approved=None,
        legacy_bound=None,
        legacy_rate=None,
        version="",
    )


def past(position: RolloutPosition, now: float) -> RolloutPosition:
    """A clock that was set back: what was to be in the future is now."""
    latest = now + SKEW
    if max(position.since, position.stepped, position.epoch_began) <= latest:
        return position
    future = position.epoch_began > latest
    return position._replace(
        since=min(position.since, now),
        stepped=min(position.stepped, now),
        epoch=position.epoch + future,
        epoch_began=now if future else position.epoch_began,
    )


def fitting(plan: RolloutPlan, position: RolloutPosition) -> RolloutPosition:
    """The plan may have other steps by now: it goes on from the step at or below its weight."""
    if position.step < len(plan.steps) and plan.steps[position.step] == position.weight:
        return position
    lower = [step for step, weight in enumerate(plan.steps) if weight <= position.weight]
    return position._replace(step=lower[-1] if lower else 0)
