"""What a person may do to a rollout. Pure: a position in, the next one out, or a clear refusal.

`abort` and `retry` of one endpoint are meant for all of its group and plan: they move together.
"""

from __future__ import annotations

from typing import Final, Literal

from proxy.core.rollout.facts import RolloutChange
from proxy.core.rollout.moves import again, fallen
from proxy.core.rollout.position import RolloutPosition, State
from proxy.core.settings import RolloutPlan

Action = Literal["pause", "resume", "approve", "abort", "retry"]
ACTIONS: Final[tuple[Action, ...]] = ("pause", "resume", "approve", "abort", "retry")

DONE: Final[dict[Action, str]] = {
    "pause": "paused",
    "resume": "resumed",
    "approve": "approved",
    "abort": "aborted",
    "retry": "tried again",
}
_STATES: Final[dict[Action, dict[State, str]]] = {
    "pause": {
        "paused": "it is paused already",
        "rolled_back": "it was rolled back and goes nowhere before `retry`",
        "done": "it is done",
    },
    "resume": {
        state: f"it is {state}, not paused"
        for state in ("waiting", "running", "holding", "approval", "rolled_back", "done")
    },
    "approve": {
        "waiting": "it has not begun",
        "running": "it does not wait for a person; `rollout show` says what it waits for",
        "holding": "it does not wait for a person; `rollout show` says what it waits for",
        "paused": "it is paused: `resume` it first",
        "rolled_back": "it was rolled back: `retry` begins a new attempt",
        "done": "it is done",
    },
    "abort": {
        "waiting": "it has not begun; `pause` keeps it from beginning",
        "rolled_back": "it was rolled back already",
    },
    "retry": {
        state: f"it is {state}: only what was rolled back can be tried again"
        for state in ("waiting", "running", "holding", "approval", "paused", "done")
    },
}


class ActionRefused(ValueError):
    """The action makes no sense in this state; the message says why."""


def act(
    action: Action, plan: RolloutPlan, position: RolloutPosition, target: int | None, now: float, why: str
) -> tuple[RolloutPosition, RolloutChange]:
    """`target` is the weight of the next step as last decided (Next.target); `why` names who wants it and,
    if said, for what reason. Raises ActionRefused."""
    refusal = _STATES[action].get(position.state)
    if refusal is not None:
        raise ActionRefused(f"{position.endpoint}: cannot {action}: {refusal}")
    after = _after(action, plan, position, target, now)._replace(reason=f"{DONE[action]} {why}")
    if after.state != position.state:
        after = after._replace(since=now)
    return after, RolloutChange(after.state, action, after.reason, position.weight, after.weight)


def possible(state: State) -> tuple[Action, ...]:
    """What is not refused in this state."""
    return tuple(each for each in ACTIONS if state not in _STATES[each])


def _after(
    action: Action, plan: RolloutPlan, position: RolloutPosition, target: int | None, now: float
) -> RolloutPosition:
    if action == "pause":
        return position._replace(state="paused")
    if action == "resume":
        return position._replace(state="running" if position.epoch_began else "waiting")
    if action == "approve":
        return position._replace(approved=plan.steps[0] if target is None else target)
    if action == "abort":
        step, weight = fallen(plan, position)
        return position._replace(
            state="rolled_back",
            step=step,
            weight=weight,
            stepped=now,
            epoch=position.epoch + 1,
            epoch_began=now,
            approved=None,
        )
    return again(position)
