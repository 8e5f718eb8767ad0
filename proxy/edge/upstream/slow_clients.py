"""Decides which slow clients give way when requests wait for a connection of their pool.

Slow clients give way only to complete requests. If they gave way to uploads, slow clients would end each
other's requests, and none would ever finish.
"""

from __future__ import annotations

from proxy.edge.upstream import stalled
from proxy.edge.upstream.home import Home


class SlowClients:
    """Looks at what is stalled from time to time, as long as requests wait."""

    __slots__ = ("_cautious_until", "_looking", "_pool", "_share")

    def __init__(self, pool: Home) -> None:
        self._pool = pool
        self._share = int(pool.backend.connections * pool.backend.stalled)
        self._looking = False  # a look is due
        self._cautious_until = 0.0

    def within(self) -> bool:
        """Whether slow clients hold less than their share."""
        return len(self._pool.stalled) < self._share

    def admits(self) -> bool:
        """Whether another upload may begin. For a while after requests had to wait: within the share only."""
        return self.within() or self._pool.loop.time() >= self._cautious_until

    def begin(self) -> None:
        """A whole request waits. It may be for a moment only, so the first look comes later."""
        if not self._looking:
            self._look_later(stalled.FIRST_LOOK)

    def _look_later(self, parts: float) -> None:
        self._looking = True
        self._pool.loop.call_later(stalled.PATIENCE * parts, self._look)

    def _look(self) -> None:
        self._looking = False
        pool = self._pool
        self._have_way_given(pool.loop.time())
        if pool.waiting and not pool.waiting.whole and self.admits():
            pool.serve_uploads()
        if pool.waiting:
            self._look_later(stalled.NEXT_LOOK)

    def _have_way_given(self, now: float) -> None:
        pool = self._pool
        for _ in range(pool.waiting.whole):
            if len(pool.stalled) <= self._share or not pool.waiting.whole:
                break
            self._cautious_until = now + stalled.CAUTION
            waits = now - (pool.waiting.until() - pool.backend.timeouts.connect)
            slow = pool.stalled.longest(stalled.PATIENCE - 2 * waits, now)
            if slow is None or slow.exchange is None:
                break
            slow.go_on()
            slow.exchange.give_way()  # its place goes to one that waits
