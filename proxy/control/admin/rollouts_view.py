"""Rollouts as the words, bars and charts that the status page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from proxy.control.admin.weightchart import ChartedChange, WeightChart, weight_chart
from proxy.control.rollouts.figures import RolloutFigures, RolloutsFigures
from proxy.core.rollout.actions import Action, possible
from proxy.core.rollout.position import State
from proxy.core.rollout.progress import duration, estimate, figures, number, state_words, towards
from proxy.core.settings import BACKENDS, FULL_WEIGHT
from proxy.core.timestamps import to_the_second
from proxy.core.weights import percent
from proxy.store.rollouts import Past

OPEN: Final = 3  # with more rollouts than that each is a row that opens
LISTED: Final = 5  # changes in words below the chart
ORDER: Final[tuple[State, ...]] = (
    "rolled_back",
    "approval",
    "holding",
    "paused",
    "running",
    "waiting",
    "done",
)
KINDS: Final = {"failing": "failing", "refused": "refused (4xx)", "slower": "slower"}
NEEDED: Final = {
    "failing": "share failing",
    "no_worse": "or failing no more often",
    "slower": "no slower",
    "parity": "answers alike",
}


class PlanStep(NamedTuple):
    """`place` is `done`, `here` or `ahead`."""

    weight: str
    place: str


class Bar(NamedTuple):
    """`share` in percent of the way to a threshold."""

    name: str
    share: int
    text: str


class SideUnits(NamedTuple):
    name: str
    active: str
    failed: str
    failing: bool


class RolloutCard(NamedTuple):
    """One endpoint. `together`: who else is paused, or rolled back, with it."""

    name: str
    plan: str
    facts: str
    state: State
    words: str
    reason: str
    since: str
    weight: str
    steps: tuple[PlanStep, ...]
    next: str
    evidence: tuple[Bar, ...]
    danger: tuple[Bar, ...]
    sides: tuple[SideUnits, ...]
    missing: tuple[str, ...]
    doubt: str
    estimate: str
    actions: tuple[Action, ...]
    together: str
    chart: WeightChart | None
    changes: tuple[ChartedChange, ...]  # the newest first


class RolloutsView(NamedTuple):
    """Those that need a person come first. `frozen` is a sentence or ""."""

    cards: tuple[RolloutCard, ...]
    open: bool
    frozen: str
    problem: str


def rollouts_view(found: RolloutsFigures, past: Mapping[str, Sequence[Past]]) -> RolloutsView | None:
    """None if no endpoint is in a rollout."""
    if not found.rollouts:
        return None
    cards = [_card(each, found, past.get(each.position.endpoint, ())) for each in found.rollouts]
    cards.sort(key=lambda card: ORDER.index(card.state))
    return RolloutsView(tuple(cards), len(cards) <= OPEN, _frozen(found), found.problem)


def _frozen(found: RolloutsFigures) -> str:
    freeze = found.freeze
    if not freeze.frozen:
        return ""
    by = f" by {freeze.author}" if freeze.author else ""
    return f"Frozen{by} since {to_the_second(freeze.since)}: {freeze.reason}"


def _card(found: RolloutFigures, all: RolloutsFigures, past: Sequence[Past]) -> RolloutCard:
    position, shown = found.position, found.shown
    target = shown.get("target")
    missing = tuple(shown.get("missing", ())) if target is not None else ()
    chart = weight_chart(past, [step / 100 for step in found.plan.steps], all.now)
    return RolloutCard(
        name=position.endpoint,
        plan=found.plan.name,
        facts=_facts(found),
        state=position.state,
        words=state_words(position.state),
        reason=position.reason,
        since=_ago(all.now - position.since),
        weight=percent(position.weight),
        steps=_steps(found),
        next="" if target is None else percent(target),
        evidence=_evidence(found) if target is not None else (),
        danger=_danger(found),
        sides=_sides(shown),
        missing=missing,
        doubt=shown.get("doubt", ""),
        estimate=estimate(shown.get("eta_seconds"), missing) if target is not None else "",
        actions=possible(position.state),
        together=", ".join(_together(found, all)),
        chart=chart,
        changes=chart.changes[: -LISTED - 1 : -1] if chart else (),
    )


def _facts(found: RolloutFigures) -> str:
    position = found.position
    facts = [f"attempt {position.attempt}"] if position.attempt > 1 else []
    facts += [f"async {position.version}"] if position.version else []
    return "".join(f", {each}" for each in facts)


def _ago(seconds: float) -> str:
    """Of more than a minute without seconds, so that the page does not change with each of them."""
    return duration(seconds if seconds < 60 else max(0.0, seconds) // 60 * 60)


def _steps(found: RolloutFigures) -> tuple[PlanStep, ...]:
    """Whoever is below the first step, as after a rollback, stands at one of its own."""
    position, steps = found.position, found.plan.steps
    if position.weight < steps[0]:
        return (
            PlanStep(percent(position.weight), "here"),
            *(PlanStep(percent(each), "ahead") for each in steps),
        )
    done = position.state == "done" and position.weight == FULL_WEIGHT
    places = [
        "done" if step < position.step or done else "here" if step == position.step else "ahead"
        for step in range(len(steps))
    ]
    return tuple(PlanStep(percent(step), place) for step, place in zip(steps, places, strict=True))


def _evidence(found: RolloutFigures) -> tuple[Bar, ...]:
    """Towards the next step."""
    bounds: Mapping[str, Any] = found.shown.get("bounds", {})
    bars = []
    needed: Mapping[str, Any] = found.shown.get("needed", {})
    for name in NEEDED:
        need = needed.get(name)
        if need is None:
            continue
        have = bounds.get(name)
        value = 1.0 if have is None else float(have)
        label = NEEDED[name]
        if name == "no_worse" and needed.get("failing") is None:
            label = label.removeprefix("or ")  # otherwise one of the two is enough
        bars.append(Bar(label, _share(value, need), figures(name, value, need)))
    return tuple(bars)


def _danger(found: RolloutFigures) -> tuple[Bar, ...]:
    """Towards a rollback."""
    threshold = found.shown.get("threshold")
    if not threshold or found.position.state in ("rolled_back", "done"):
        return ()
    values: Mapping[str, Any] = found.shown.get("e_values", {})
    return tuple(
        Bar(name, _share(value, threshold), f"E = {number(value)} of {number(threshold)}")
        for kind, name in KINDS.items()
        if (value := values.get(kind)) is not None
    )


def _share(value: float, need: float) -> int:
    """In whole percent, rounded down: what is full is there."""
    return int(100 * min(1.0, max(0.0, towards(value, need)) + 1e-9))


def _sides(shown: Mapping[str, Any]) -> tuple[SideUnits, ...]:
    units = shown.get("units", {})
    found = []
    for backend in BACKENDS:
        seen = units.get(backend, {"active": 0, "failed": 0})
        found.append(SideUnits(backend, f"{seen['active']:,}", f"{seen['failed']:,}", seen["failed"] > 0))
    return tuple(found)


def _together(found: RolloutFigures, all: RolloutsFigures) -> list[str]:
    return [
        each.position.endpoint
        for each in all.rollouts
        if each is not found and (each.plan.name, each.group) == (found.plan.name, found.group)
    ]
