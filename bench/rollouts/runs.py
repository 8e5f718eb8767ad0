"""One rollout in fake time, looked at where something changed, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Final

from bench.rollouts.world import Seen, World
from proxy.core.evidence.sequential import CONFIDENCE, below
from proxy.core.evidence.units import KINDS, Units
from proxy.core.rollout.decision import decide
from proxy.core.rollout.evidence import NOTHING, Evidence, epoch_seconds, slower_ratios
from proxy.core.rollout.facts import Facts, Next
from proxy.core.rollout.moves import initial
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import FULL_WEIGHT, Advance, RolloutPlan

HOUR: Final = 3600.0
STEPS: Final = (0, 100, 500, 2500, 5000, 10000)
CAREFUL: Final = RolloutPlan("careful", STEPS, advance=Advance(parity=None))
"""Parity is left out: it never rolls back, and what it holds says nothing about users."""


@dataclass
class Run:
    """What became of a rollout. `failing` are users on async and on legacy that failed in the step that
    was rolled back; `unproven` counts advances for which the plan's evidence was not there."""

    state: str = "running"
    why: str = ""
    at: float = 0.0
    weight: int = 0  # the highest that it came to
    failing: tuple[int, int] = (0, 0)
    first_harm: float | None = None
    looks: int = 0
    unproven: int = 0
    advances: list[tuple[float, int]] = field(default_factory=list)


class Rollout:
    """Plays one endpoint. `interval` is how often workers report, in seconds."""

    def __init__(self, plan: RolloutPlan, world: World, endpoints: int = 1) -> None:
        self.plan: Final = plan
        self.world: Final = world
        self.endpoints: Final = endpoints
        self.position: RolloutPosition = initial(plan, "GET /x", 0.0)
        self.evidence: Evidence = NOTHING
        self.units = Units()
        self.run = Run()
        self.version, self.alone = "1", HOUR

    def play(self, start: float, end: float, interval: float, until: Sequence[str] = ()) -> Run:
        """Goes on until `end`, or until the rollout is in one of the states of `until`."""
        now = start
        while now < end and self.position.state not in until:
            later = min(end, now + interval)
            seen = self.world.between(now, later, self.position.weight)
            self.alone += later - now
            if self._take(seen) or self._due(later):
                self.look(later)
            now = later
        self.run.state, self.run.at = self.position.state, now
        return self.run

    def deploy(self, version: str) -> None:
        self.version, self.alone = version, 0.0

    def _take(self, seen: Seen) -> bool:
        """Whether anybody failed who had not: otherwise no evidence has changed, whoever was active."""
        before, label = self.units, self.position.label
        if before.epoch != label:
            before = Units(label)
        self.units = before.merged(Units(label, *seen))
        counts = ("legacy", "async_")
        unkeyed = any(getattr(before, side)[1:] != getattr(self.units, side)[1:] for side in counts)
        return unkeyed or any(before.of(kind) != self.units.of(kind) for kind in KINDS)

    def _due(self, now: float) -> bool:
        """Whether time alone may change something: the epoch and the dwell end together here."""
        position = self.position
        ends = position.epoch_began + epoch_seconds(self.plan)
        return not position.epoch_began or now >= ends or self.version != position.version

    def look(self, now: float) -> None:
        facts = Facts(
            units=self.units,
            version=self.version,
            stable_version_seconds=self.alone,
            endpoints_in_plan=self.endpoints,
            legacy_p95=0.1,
        )
        before, weight = self.evidence, self.position.weight
        after = decide(self.plan, self.position, self.evidence, facts, now)
        self.run.looks += 1
        self._note(after, before, weight, now)
        self.position, self.evidence = after.position, after.evidence

    def _note(self, after: Next, before: Evidence, weight: int, now: float) -> None:
        for change in after.changes:
            if change.to == "rolled_back":
                self.run.why = change.why
                failed = change.evidence["failed_in_step"]
                assert isinstance(failed, dict)
                kind = change.why if change.why in failed else "failing"
                self.run.failing = (failed[kind]["async"], failed[kind]["legacy"])
            elif change.weight > change.before:
                self.run.advances.append((now, change.weight))
                self.run.weight = max(self.run.weight, change.weight)
                if change.before and not self._proven(before, change.weight, now):
                    self.run.unproven += 1

    def _proven(self, evidence: Evidence, target: int, now: float) -> bool:
        """The plan's conditions once more, from the evidence itself and without the code that decided."""
        asked, position = self.plan.advance, self.position
        forgiven = FULL_WEIGHT / target if target < 2500 else 1.0
        closing = evidence.after(self.plan, self.units).closed(self.plan, "", 1.0)
        seen = closing.windows
        clean = asked.failing is not None and (
            asked.failing * forgiven >= 1
            or below(seen.async_failed, seen.async_, asked.failing * forgiven) >= CONFIDENCE
        )
        alike = asked.no_worse is not None and closing.failing_no_worse >= log(20)
        ratios = slower_ratios(self.plan, evidence.weight)
        fast = asked.slower is None or (
            target in ratios and closing.slower_bounded.get(target, 0.0) >= CONFIDENCE
        )
        return (clean or alike) and fast and now - position.stepped >= self.plan.dwell


def alone(plan: RolloutPlan, weight: int) -> RolloutPlan:
    """A plan that stands at one weight, for what is found there."""
    return replace(plan, steps=(weight, FULL_WEIGHT))
