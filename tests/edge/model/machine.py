"""A hypothesis state machine that chooses what happens next, and finds the shortest way to a fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from proxy.edge.upstream import UpstreamConnection
from tests.edge.model.backends import SHAPES, STATUSES, Shape
from tests.edge.model.settings import Settings
from tests.edge.model.world import CLIENTS, World, is_quiet

EXAMPLE = 60  # steps of one world
WHICH = st.integers(0, 7)


class Machine(RuleBasedStateMachine):
    """`which` chooses among what there is. In an eager world the loop runs after each event."""

    steps = 0  # of all machines, since `explore` began

    world: World
    eager: bool

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
        self.world = World(Settings(connections, idempotent, health, weight), backwards)
        self.eager = eager

    @contextmanager
    def event(self) -> Iterator[World]:
        """One event, then perhaps the loop's turn, then the invariants."""
        Machine.steps += 1
        world = self.world
        with world.running:
            yield world
            if self.eager:
                world.loop.run()
        world.check()

    # clients

    @rule(
        slot=st.integers(0, CLIENTS - 1),
        method=st.sampled_from(("POST", "GET", "PUT")),
        key=st.integers(0, 4),
        cut=st.sampled_from((False, False, False, True)),
    )
    def client_asks(self, slot: int, method: Literal["GET", "POST", "PUT"], key: int, cut: bool) -> None:
        with self.event() as world:
            world.client_asks(slot, method, key, cut)

    @precondition(lambda self: any(client and not client.lost for client in self.world.clients))
    @rule(slot=st.integers(0, CLIENTS - 1), what=st.sampled_from(("goes on", "leaves", "ends", "stalls", "reads")))
    def client(self, slot: int, what: str) -> None:
        with self.event() as world:
            client = world.clients[slot]
            if client is None or client.lost:
                return
            if what == "goes on":
                client.go_on()
            elif what == "leaves":
                client.leave()
            elif what == "ends":
                client.send_eof()
            elif what == "stalls":
                client.block()
            else:
                client.unblock()

    # backends

    @precondition(lambda self: self.world.dials)
    @rule(which=WHICH, good=st.sampled_from((True, True, False)))
    def dial_ends(self, which: int, good: bool) -> None:
        with self.event() as world:
            dial = world.dials[which % len(world.dials)]
            if good:
                world.dial_succeeds(dial)
            else:
                world.dial_fails(dial)

    @precondition(lambda self: self.world.busy)
    @rule(which=WHICH, status=st.sampled_from(STATUSES), shape=st.sampled_from(SHAPES))
    def upstream_answers(self, which: int, status: int, shape: Shape) -> None:
        with self.event() as world:
            world.upstream_answers(world.busy[which % len(world.busy)], status, shape)

    @precondition(lambda self: self.world.open)
    @rule(which=WHICH, how=st.sampled_from(("reset", "eof", "unasked", "stalls", "reads")))
    def upstream(self, which: int, how: Literal["reset", "eof", "unasked", "stalls", "reads"]) -> None:
        with self.event() as world:
            upstream = world.open[which % len(world.open)]
            if how == "stalls":
                upstream.block()
            elif how == "reads":
                upstream.unblock()
            elif how != "unasked" or not upstream.busy:
                upstream.breaks(how)

    # the store

    @precondition(lambda self: self.world.calls)
    @rule(which=WHICH)
    def store_answers(self, which: int) -> None:
        with self.event() as world:
            world.store_answers(world.calls[which % len(world.calls)])

    @precondition(lambda self: self.world.calls)
    @rule(which=WHICH, carried_out=st.booleans(), fails=st.booleans())
    def store_troubles(self, which: int, carried_out: bool, fails: bool) -> None:
        """It did what it was asked, or not, and says that it failed, or nothing yet."""
        with self.event() as world:
            call = world.calls[which % len(world.calls)]
            if carried_out:
                world.store_carries_out(call)
            if fails:
                world.store_fails(call)

    # the worker

    @rule(seconds=st.sampled_from((2.5, 0.1, 0.6, 1.0)))
    def time_passes(self, seconds: float) -> None:
        with self.event() as world:
            world.loop.now += seconds

    @precondition(lambda self: not self.eager)
    @rule(limit=st.sampled_from((10_000, 1, 2, 3)), timers_first=st.booleans())
    def loop_runs(self, limit: int, timers_first: bool) -> None:
        with self.event() as world:
            world.loop.run(limit, timers_first)

    @rule(weight=st.sampled_from((0, 100)), pool_idle=st.sampled_from((4, 5)))
    def reload(self, weight: int, pool_idle: int) -> None:
        with self.event() as world:
            world.reload(weight, pool_idle)

    @rule(patient=st.booleans())
    def drain(self, patient: bool) -> None:
        with self.event() as world:
            world.drain(patient)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            with self.world.running:
                self.world.loop.run()
                self.world.check()
                self.world.settle()
        finally:
            self.world.close()


def explore(steps: int, seed: int) -> None:
    """About `steps` events, in worlds of at most EXAMPLE each. Raises what is wrong, with the events before it."""
    Machine.steps = 0
    settings = hypothesis.settings(
        max_examples=max(1, steps // EXAMPLE),
        stateful_step_count=EXAMPLE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    with patch.object(UpstreamConnection, "is_quiet", is_quiet):
        run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=settings)
