"""What the rollouts have gone through, read only while somebody looks at the page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from proxy.control.rollouts.parts import Rollouts
from proxy.store import StoreUnavailable
from proxy.store.rollouts import Past

INTERVAL: Final = 5.0  # seconds between two looks
PATIENCE: Final = 1.0  # seconds that a page waits for a look
SHOWN: Final = 40  # changes of each endpoint


class RolloutsPast:
    """`changes` by endpoint, the oldest first, as of the last look that succeeded."""

    def __init__(self, rollouts: Rollouts | None) -> None:
        self._rollouts = rollouts
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._newest = -1
        self.changes: Mapping[str, Sequence[Past]] = {}

    def refresh(self) -> None:
        """Starts a look if the last one is old; what it finds is there the next time. Needs a loop."""
        now = time.monotonic()
        if self._rollouts is None or not self._rollouts.figures().rollouts:
            return
        if self._looking is None and now - self._looked >= INTERVAL:
            self._looked = now
            self._looking = asyncio.get_running_loop().create_task(self._look(self._rollouts))
            self._looking.add_done_callback(self._done)

    async def current(self) -> None:
        """After a look, if the last one is old and the database is quick."""
        self.refresh()
        if self._looking is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._looking), PATIENCE)

    async def _look(self, rollouts: Rollouts) -> None:
        """A database that is away is said elsewhere on the page."""
        with suppress(StoreUnavailable):
            newest = await rollouts.newest()
            if newest != self._newest:
                self.changes = await rollouts.past_of_each(SHOWN)
                self._newest = newest

    def _done(self, task: asyncio.Task[None]) -> None:
        self._looking = None
