"""Positions, facts and users for tests of rollouts."""

from __future__ import annotations

from dataclasses import replace

from proxy.core.evidence.units import Units, dealt
from proxy.core.rollout.decision import decide
from proxy.core.rollout.evidence import NOTHING, Evidence
from proxy.core.rollout.facts import Facts, Next, RolloutChange
from proxy.core.rollout.moves import initial
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import Advance, RolloutPlan

PLAN = RolloutPlan("careful", (0, 100, 500, 2500, 5000, 10_000), advance=Advance(slower=None, parity=None))
QUIET = Facts()
NOW = 1_800_000_000.0


def first(units: int, count: int) -> int:
    """The lowest `count` units of a map."""
    found = 0
    for _ in range(count):
        lowest = units & -units
        found |= lowest
        units ^= lowest
    return found


def some(weight: int, on_async: int, on_legacy: int) -> int:
    return first(dealt(0, weight), on_async) | first(dealt(weight, 10_000), on_legacy)


class Story:
    """One endpoint, told look by look."""

    def __init__(self, plan: RolloutPlan = PLAN, endpoint: str = "GET /x", now: float = NOW) -> None:
        self.plan = plan
        self.now = now
        self.position: RolloutPosition = initial(plan, endpoint, now)
        self.evidence: Evidence = NOTHING
        self.facts = QUIET
        self.units = Units()
        self.changes: list[RolloutChange] = []

    def look(self, seconds: float = 1.0, **facts: object) -> Next:
        """`facts` hold for this look only."""
        self.now += seconds
        units = self.units if self.units.epoch == self.position.label else Units(self.position.label)
        seen = replace(self.facts, units=units)
        after = decide(
            self.plan,
            self.position,
            self.evidence,
            replace(seen, **facts),
            self.now,  # type: ignore[arg-type]
        )
        self.position, self.evidence = after.position, after.evidence
        self.changes += after.changes
        return after

    def sees(self, active: int, failing: int = 0, **more: object) -> None:
        """In the epoch as it is now."""
        self.units = Units(self.position.label, active, failing)._replace(**more)

    def at(self, weight: int) -> Story:
        """Puts it at the beginning of the step with this weight, as if it had come there."""
        self.look()
        step = self.plan.steps.index(weight)
        self.position = self.position._replace(
            step=step,
            weight=weight,
            state="running",
            stepped=self.now,
            since=self.now,
            epoch=self.position.epoch + 1,
            epoch_began=self.now,
            legacy_bound=0.004,
        )
        self.look(0.0)
        return self


def clean(story: Story, on_async: int = 400, on_legacy: int = 400) -> Story:
    """Enough users on both sides, and nothing wrong with them."""
    story.sees(some(story.position.weight, on_async, on_legacy))
    return story
