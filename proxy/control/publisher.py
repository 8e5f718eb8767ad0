"""Sends an accepted configuration to the workers and to the comparer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.config import Loaded
from proxy.control.comparer import ComparerProcess
from proxy.control.ledger import Ledger
from proxy.control.log import log
from proxy.control.supervisor.supervisor import Supervisor
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Apply

APPLY_TIMEOUT: Final = 5.0  # seconds that a reload waits for the workers


class Publisher:
    """`state` is the database that all workers of the instance use, whatever a newer file says.

    `began` is told of each effective snapshot, and `place` tells the workers where the rollouts stand, before
    they get the configuration.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        comparer: ComparerProcess,
        ledger: Ledger,
        state: str,
        effective: Callable[[], Snapshot],
        began: Callable[[Snapshot], None],
        place: Callable[[], None] = lambda: None,
    ) -> None:
        self._supervisor = supervisor
        self._comparer = comparer
        self._ledger = ledger
        self._state = state
        self._effective = effective
        self._began = began
        self._place = place

    def push(self, loaded: Loaded, generation: int) -> None:
        """Sends it; who connects later gets it then."""
        snapshot = loaded.snapshot
        self._began(self._effective())
        self._place()
        newest = Apply(snapshot.hash, generation, loaded.document, self._state, loaded.values)
        self._supervisor.publish(newest, snapshot.server.timeouts)
        self._comparer.publish(newest, snapshot)

    async def publish(self, loaded: Loaded, generation: int) -> None:
        """Sends it, and waits until the workers serve it, or for some seconds."""
        self._ledger.look()  # at each configuration, for some last less than the time between two looks
        self.push(loaded, generation)
        for worker in await self._supervisor.settled(APPLY_TIMEOUT):
            log.error(
                "worker %d (pid %d) does not serve configuration %s yet",
                worker.slot,
                worker.pid,
                loaded.snapshot.hash,
            )
