"""Whether this control process leads: it renews the lease, and knows by itself when that has run out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store import lease
from proxy.store.lease import LEASE, RENEW, Held

MARGIN: Final = 1.0  # seconds by which we stop before others may begin


class Leadership:
    """`me` names this process and nobody else. `clock` is monotonic."""

    def __init__(self, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.me = me
        self._clock = clock
        self._until = float("-inf")  # we lead
        self._asked = float("-inf")
        self._seen = Held()
        self._since = clock()  # it is as seen

    @property
    def leads(self) -> bool:
        return self._clock() < self._until

    @property
    def holder(self) -> str:
        """Who held the lease at the last look."""
        return self._seen.holder

    async def renew(self, connection: AsyncConnection) -> bool:
        """Takes or renews the lease if it is time to; whether we lead. To be committed at once.

        Who does not lead asks at each look: the lease may run out at any time.
        """
        now = self._clock()
        if self.leads and now - self._asked < RENEW:
            return True
        stale = self._seen if self._seen.holder and now - self._since > LEASE + MARGIN else None
        found = await lease.take(connection, self.me, stale)
        self._asked = now
        if found != self._seen:
            self._seen, self._since = found, now
        self._until = now + LEASE - MARGIN if found.holder == self.me else float("-inf")
        return self.leads

    async def release(self, connection: AsyncConnection) -> None:
        self._until = float("-inf")
        await lease.release(connection, self.me)

    def lost(self) -> None:
        """Somebody else has it after all, as a write showed."""
        self._until = float("-inf")
