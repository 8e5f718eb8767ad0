"""Brings positions into force: on every worker, and for all in this process that show weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from proxy.control.ledger import Ledger
from proxy.control.reload import InForce
from proxy.control.supervisor.supervisor import Supervisor
from proxy.core.rollout.position import RolloutPosition, watched
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import RolloutPlan
from proxy.core.wire.messages import EndpointPosition, Positions


class Force:
    """`began` is told of each effective snapshot, as by the publisher."""

    def __init__(
        self,
        supervisor: Supervisor,
        in_force: InForce,
        ledger: Ledger,
        began: Callable[[Snapshot], None],
    ) -> None:
        self._supervisor = supervisor
        self._in_force = in_force
        self._ledger = ledger
        self._began = began
        self._placed: Sequence[EndpointPosition] = ()
        self.generation = 0

    def go_on_from(self, generation: int) -> None:
        """Workers that kept serving take no older positions than those that they have, whatever the clock
        says."""
        self.generation = max(generation, int(time.time() * 1000))

    def is_new(self, positions: Sequence[EndpointPosition]) -> bool:
        """Whether the workers were told something else last."""
        return list(positions) != list(self._placed)

    def also(self, positions: Sequence[EndpointPosition]) -> list[EndpointPosition]:
        """With those of endpoints that workers have to know until they have the next configuration."""
        named = {each.endpoint for each in positions}
        return [*positions, *(each for each in self._placed if each.endpoint not in named)]

    def tell(self, positions: Sequence[EndpointPosition]) -> bool:
        """Tells the workers, if there is anything new; whether there was."""
        if not self.is_new(positions):
            return False
        self.generation += 1
        self._placed = positions
        self._supervisor.place(Positions(self.generation, list(positions)))
        return True

    def place(self, positions: Sequence[EndpointPosition]) -> None:
        """Workers first; then what is shown."""
        if not self.tell(positions):
            return
        before = {each.name: each.weight for each in self._in_force.snapshot().endpoints}
        self._in_force.place(positions)
        snapshot = self._in_force.snapshot()
        if any(before.get(each.name) != each.weight for each in snapshot.endpoints):
            self._ledger.look()
        self._began(snapshot)


def on_the_wire(plan: RolloutPlan, position: RolloutPosition) -> EndpointPosition:
    """What workers have to know. Colleagues are on async from the first step on, and go with everybody."""
    slow = position.slow if plan.advance.slower is not None else None
    epoch = position.label if watched(position) else ""
    first = [] if position.state in ("waiting", "rolled_back") else list(plan.first)
    return EndpointPosition(position.endpoint, position.weight, epoch, slow, first)
