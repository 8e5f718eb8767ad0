"""The same events as a hypothesis state machine, which chooses in its own way, and shortens what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.edge.model.events import EVENTS, Event
from tests.edge.model.invariants import KINDS
from tests.edge.model.replaced import prepared
from tests.edge.model.settings import Settings
from tests.edge.model.world import World

LENGTH: Final = 40  # events of one world
TROUBLE: Final = tuple(event for event in EVENTS if event.weight < 3)


class Machine(RuleBasedStateMachine):
    """Its rules are EVENTS; what has to hold is asserted after each of them, and at the end."""

    watched: frozenset[str] = KINDS
    steps = 0  # of all machines, since `explore` began
    world: World
    broken = False  # an event has shown what is wrong

    @initialize(
        connections=st.sampled_from((1, 2, 4)),
        idempotent=st.booleans(),
        health=st.booleans(),
        weight=st.sampled_from((0, 100)),
        backwards=st.booleans(),
        eager=st.booleans(),
    )
    def begin(
        self, connections: int, idempotent: bool, health: bool, weight: int, backwards: bool, eager: bool
    ) -> None:
        self.world = World(Settings(connections, idempotent, health, weight), backwards, eager, self.watched)

    def happen(self, event: Event, arguments: tuple[Any, ...]) -> None:
        Machine.steps += 1
        self.broken = True
        self.world.happen(event.happen, arguments)
        self.broken = False

    @rule(event=st.sampled_from(TROUBLE), first=st.integers(0, 5), second=st.integers(0, 5))
    def trouble(self, event: Event, first: int, second: int) -> None:
        """One rule for all that is rare, or hypothesis would choose nothing else."""
        if event.possible(self.world):
            chosen = zip(event.choices, (first, second), strict=False)
            self.happen(event, tuple([choices[which % len(choices)] for choices, which in chosen]))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.broken:
                self.world.settle()
        finally:
            self.world.close()


def _rule(event: Event) -> Callable[..., None]:
    def happens(self: Machine, **arguments: Any) -> None:
        self.happen(event, tuple(arguments.values()))

    happens.__name__ = event.name
    choices = {name: st.sampled_from(options) for name, options in zip("abcd", event.choices, strict=False)}
    return precondition(lambda self: event.possible(self.world))(rule(**choices)(happens))


for _event in EVENTS:
    if _event not in TROUBLE:
        setattr(Machine, _event.name, _rule(_event))


def explore(worlds: int, seed: int, watched: frozenset[str] = KINDS) -> int:
    """Raises what is wrong, with the events before it; else returns how many events there were."""
    Machine.steps = 0
    Machine.watched = watched
    settings = hypothesis.settings(
        max_examples=worlds,
        stateful_step_count=LENGTH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    with prepared():
        run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=settings)
    return Machine.steps
