from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.control.admin.rollouts_view import ORDER, RolloutCard, rollouts_view
from proxy.control.admin.template import Template
from proxy.control.rollouts.figures import RolloutFigures, RolloutsFigures
from proxy.core.rollout.position import RolloutPosition, State
from proxy.core.settings import RolloutPlan
from proxy.store.rollouts import Freeze, Past

NOW = 1_700_000_000.0
THAWED = Freeze()
PLAN = RolloutPlan("careful", (0, 100, 500, 2500, 5000, 10_000))
SHOWN: dict[str, Any] = {
    "target": 2500,
    "missing": ["88 more users"],
    "eta_seconds": 300.0,
    "units": {"legacy": {"active": 4000, "failed": 0}, "async": {"active": 210, "failed": 3}},
    "e_values": {"failing": 1000.0, "refused": None, "slower": 0.5},
    "bounds": {"failing": 0.04, "legacy": 0.001, "no_worse": 30.0, "slower": 1.0, "parity": None},
    "needed": {"failing": 0.01, "no_worse": 20.0, "slower": 20.0, "parity": 0.02},
    "threshold": 1e6,
    "doubt": "",
}


def figures(
    name: str = "GET /a",
    state: State = "running",
    step: int = 2,
    group: str = "g",
    shown: dict[str, Any] = SHOWN,
    plan: RolloutPlan = PLAN,
) -> RolloutFigures:
    position = RolloutPosition(
        name, plan.name, state, "so it is", step, plan.steps[step], NOW - 250, NOW - 250
    )
    return RolloutFigures(plan, group, position, shown)


def found(*rollouts: RolloutFigures, freeze: Freeze = THAWED, problem: str = "") -> RolloutsFigures:
    return RolloutsFigures(NOW, rollouts, freeze, "me", True, problem)


def card(rollout: RolloutFigures) -> RolloutCard:
    view = rollouts_view(found(rollout), {})
    assert view is not None
    return view.cards[0]


def html(figures: RolloutsFigures, past: dict[str, list[Past]] | None = None) -> str:
    return Template("rollouts.html").render(rollouts=rollouts_view(figures, past or {}))


def test_without_rollouts_there_is_nothing_to_show() -> None:
    assert rollouts_view(found(), {}) is None


def test_steps_behind_are_done_and_the_present_one_is_marked() -> None:
    assert [(step.weight, step.place) for step in card(figures()).steps] == [
        ("0", "done"),
        ("1", "done"),
        ("5", "here"),
        ("25", "ahead"),
        ("50", "ahead"),
        ("100", "ahead"),
    ]
    assert {step.place for step in card(figures(state="done", step=5)).steps} == {"done"}


def test_who_is_below_the_first_step_is_not_shown_at_it() -> None:
    plan = replace(PLAN, steps=(100, 10_000))
    fallen = figures(state="rolled_back", step=0, plan=plan)
    shown = card(fallen._replace(position=fallen.position._replace(weight=0)))
    assert [tuple(step) for step in shown.steps] == [("0", "here"), ("1", "ahead"), ("100", "ahead")]


def test_bars_fill_towards_their_thresholds() -> None:
    shown = card(figures())
    assert [(bar.name, bar.share) for bar in shown.evidence] == [
        ("share failing", 69),  # 4 %; from 25 % on nothing is forgiven, so it is 1 % that is needed
        ("or failing no more often", 100),
        ("no slower", 0),
        ("answers alike", 0),
    ]
    assert [(bar.name, bar.share) for bar in shown.danger] == [("failing", 50), ("slower", 0)]
    assert shown.danger[0].text == "E = 1,000 of 1,000,000"
    assert shown.estimate == "at this traffic: about 5 min"
    assert shown.missing == ("88 more users",)


def test_only_what_is_asked_for_has_a_bar() -> None:
    alike = {**SHOWN, "needed": {"failing": None, "no_worse": None, "slower": None, "parity": 0.02}}
    assert [bar.name for bar in card(figures(step=0, shown=alike)).evidence] == ["answers alike"]


def test_a_doubt_about_legacy_is_said() -> None:
    shown = figures(shown={**SHOWN, "doubt": "legacy does not answer"})
    assert "In doubt: legacy does not answer." in html(found(shown))
    assert "In doubt" not in html(found(figures()))


def test_what_is_almost_there_is_not_shown_as_full() -> None:
    nearly = {**SHOWN, "bounds": {**SHOWN["bounds"], "no_worse": 19.99}}
    assert card(figures(shown=nearly)).evidence[1].share == 99


def test_before_anything_was_decided_it_is_shown_too() -> None:
    shown = card(figures(state="waiting", step=0, shown={}))
    assert (shown.evidence, shown.danger, shown.next) == ((), (), "")
    assert [side.active for side in shown.sides] == ["0", "0"]


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("waiting", ("pause",)),
        ("running", ("pause", "abort")),
        ("holding", ("pause", "abort")),
        ("approval", ("pause", "approve", "abort")),
        ("paused", ("resume", "abort")),
        ("rolled_back", ("retry",)),
        ("done", ("abort",)),
    ],
)
def test_only_what_makes_sense_has_a_button(state: State, actions: tuple[str, ...]) -> None:
    assert card(figures(state=state)).actions == actions


def test_who_needs_a_person_comes_first_and_many_are_closed() -> None:
    view = rollouts_view(found(*(figures(f"GET /{state}", state) for state in reversed(ORDER))), {})
    assert view is not None
    assert tuple(each.state for each in view.cards) == ORDER
    assert not view.open
    assert '<details class="rollout rolled_back"' in html(found(figures(state="rolled_back")))
    assert " open>" in html(found(figures()))


def test_those_that_move_together_are_named() -> None:
    other = replace(PLAN, name="other")
    view = rollouts_view(
        found(figures(), figures("GET /b"), figures("GET /c", group="h"), figures("GET /d", plan=other)), {}
    )
    assert view is not None
    assert view.cards[0].together == "GET /b"


def test_frozen_is_said_with_its_reason() -> None:
    frozen = found(figures(), freeze=Freeze(1, True, "a <sale>", "ada", NOW))
    shown = html(frozen)
    assert "Frozen by ada since 2023-11-14T22:13:20Z: a &lt;sale&gt;" in shown
    assert 'data-action="unfreeze"' in shown
    assert 'data-action="freeze"' in html(found(figures(), problem="the database is away"))


def test_whatever_others_wrote_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    shown = {**SHOWN, "missing": [evil]}
    made = figures(f"GET /{evil}", shown=shown)
    made = made._replace(position=made.position._replace(reason=evil, version=evil))
    details = {"state": evil, "before": 0, "weight": 5, "reason": evil}
    page = html(found(made, problem=evil), {made.position.endpoint: [Past(NOW - 60, "", details)]})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6
    assert " style=" not in page  # the content security policy forbids it
