from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.rollout.actions import ACTIONS, DONE, Action, ActionRefused, act
from proxy.core.rollout.moves import initial
from proxy.core.rollout.position import RolloutPosition, State
from tests.core.rollout.support import NOW, PLAN, Story, some

ALLOWED: dict[Action, set[State]] = {
    "pause": {"waiting", "running", "holding", "approval"},
    "resume": {"paused"},
    "approve": {"approval"},
    "abort": {"running", "holding", "approval", "paused", "done"},
    "retry": {"rolled_back"},
}
STATES: tuple[State, ...] = ("waiting", "running", "holding", "approval", "paused", "rolled_back", "done")


def standing(state: State, weight: int = 500) -> RolloutPosition:
    begun = initial(PLAN, "GET /x", NOW)
    return begun._replace(
        state=state, weight=weight, step=PLAN.steps.index(weight), epoch=7, epoch_began=NOW, stepped=NOW
    )


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", STATES)
def test_an_action_that_makes_no_sense_is_refused_with_the_reason(action: Action, state: State) -> None:
    position = standing(state)
    if state in ALLOWED[action]:
        after, change = act(action, PLAN, position, 2500, NOW + 5, "by ann: see ticket")
        assert after.reason == f"{DONE[action]} by ann: see ticket"
        assert (change.to, change.why, change.weight) == (after.state, action, after.weight)
        assert after.weight <= position.weight
    else:
        with pytest.raises(ActionRefused, match=f"^GET /x: cannot {action}: .{{9}}"):
            act(action, PLAN, position, 2500, NOW + 5, "by ann")


def test_pause_and_resume_move_nobody() -> None:
    paused, _ = act("pause", PLAN, standing("holding"), 2500, NOW + 5, "by ann")
    assert (paused.state, paused.since, paused.weight) == ("paused", NOW + 5, 500)
    resumed, _ = act("resume", PLAN, paused, 2500, NOW + 9, "by ann")
    assert (resumed.state, resumed.stepped) == ("running", NOW)
    unbegun = initial(PLAN, "GET /x", NOW)._replace(state="paused")
    assert act("resume", PLAN, unbegun, None, NOW, "by ann")[0].state == "waiting"


def test_what_is_paused_before_it_began_does_not_begin() -> None:
    story = Story()
    story.position, _ = act("pause", PLAN, story.position, None, NOW, "by ann")
    assert story.look(1000).position.state == "paused"


@pytest.mark.parametrize(("to", "weight", "step"), [("zero", 0, 0), ("previous", 500, 2)])
def test_abort_goes_where_a_rollback_would(to: str, weight: int, step: int) -> None:
    plan = replace(PLAN, to=to)  # type: ignore[arg-type]
    after, change = act("abort", plan, standing("running", 2500), 5000, NOW + 5, "by ann")
    assert (after.state, after.weight, after.step) == ("rolled_back", weight, step)
    assert (change.before, change.weight) == (2500, weight)


def test_retry_is_a_new_attempt_from_zero() -> None:
    story = Story().at(100)
    for count in (2, 4, 6):
        story.sees(some(100, 20, 2000), some(100, count, 0))
        story.look(1)
    before = story.position
    story.position, _ = act("retry", PLAN, before, None, story.now, "by ann: mended")
    assert (story.position.attempt, story.position.weight, story.position.state) == (2, 0, "waiting")
    story.look(1, frozen="audit")
    assert (story.position.state, story.position.weight) == ("holding", 0)  # begun: at 0 nobody moves
    assert story.position.label != before.label
    assert (story.evidence.number, story.evidence.log_e("failing")) == (1, 0.0)


def test_approval_is_of_the_weight_that_was_asked() -> None:
    after, _ = act("approve", PLAN, standing("approval"), 2500, NOW, "by ann")
    assert (after.state, after.approved, after.weight) == ("approval", 2500, 500)
