"""Puts the runner together, and what others ask of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from proxy.control.alarms import Alarm
from proxy.control.collect import Collector
from proxy.control.ledger import Ledger
from proxy.control.reload import InForce
from proxy.control.rollouts.actions import Actions
from proxy.control.rollouts.board import Board
from proxy.control.rollouts.database import Database
from proxy.control.rollouts.exchange import UnitExchange
from proxy.control.rollouts.figures import RolloutsFigures, figures
from proxy.control.rollouts.force import Force
from proxy.control.rollouts.gathering import Gatherer
from proxy.control.rollouts.kept import Keeper
from proxy.control.rollouts.leadership import Leadership
from proxy.control.rollouts.runner import Runner
from proxy.control.rollouts.steady import Steady
from proxy.control.rollouts.webhook import Webhooks
from proxy.control.supervisor.supervisor import Supervisor
from proxy.control.verdicts import Verdicts
from proxy.core.routing.snapshot import Snapshot
from proxy.store import rollouts
from proxy.store.rollouts import Past


class Clocks(NamedTuple):
    """On the wall, which somebody may set, and one that nobody sets."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


REAL: Final = Clocks()


class Rollouts(NamedTuple):
    """`runner` runs them; the rest is for who looks, or wants something."""

    in_force: InForce
    board: Board
    database: Database
    runner: Runner
    actions: Actions

    def figures(self) -> RolloutsFigures:
        return figures(self.board, self.in_force.loaded.snapshot, self.runner.now())

    async def past(self, endpoint: str | None, limit: int) -> list[Past]:
        """Changes, the newest first, of one endpoint or of all. Raises StoreUnavailable."""
        async with self.database.transaction(readonly=True) as connection:
            return await rollouts.past(connection, endpoint, limit)

    async def newest(self) -> int:
        """Another number says that there is a change more. Raises StoreUnavailable."""
        async with self.database.transaction(readonly=True) as connection:
            return await rollouts.newest(connection)

    async def past_of_each(self, limit: int) -> dict[str, list[Past]]:
        """The last changes of every endpoint, the oldest first. Raises StoreUnavailable."""
        async with self.database.transaction(readonly=True) as connection:
            return await rollouts.past_of_each(connection, limit)

    def alarms(self) -> list[Alarm]:
        """One for each endpoint that was rolled back: somebody has to look at it."""
        return [
            Alarm(
                "rollout", each.endpoint, f"{each.endpoint} was rolled back: {each.reason}", each.since, True
            )
            for each in (standing.position for standing in self.figures().rollouts)
            if each.state == "rolled_back"
        ]


def rollouts_of(
    database: Database,
    runtime: Path,
    in_force: InForce,
    supervisor: Supervisor,
    collector: Collector,
    verdicts: Verdicts,
    ledger: Ledger,
    began: Callable[[Snapshot], None],
    clocks: Clocks = REAL,
) -> Rollouts:
    """`database` is that of the state, `began` is told of each effective snapshot."""
    me, clock = uuid.uuid4().hex, Steady(clocks.wall, clocks.steady)
    board = Board(in_force.snapshot, Keeper(runtime), clock)
    webhooks = Webhooks()
    gatherer = Gatherer(collector, verdicts, clocks.wall)
    force = Force(supervisor, in_force, ledger, began)
    exchange = UnitExchange(collector, me)
    leadership = Leadership(me, clocks.steady)
    runner = Runner(in_force, board, database, leadership, exchange, gatherer, force, webhooks, clock)
    actions = Actions(in_force, board, database, runner, webhooks)
    return Rollouts(in_force, board, database, runner, actions)
