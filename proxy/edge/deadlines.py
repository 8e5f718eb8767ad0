"""Timeouts without timers: one periodic sweep over everything that has a deadline.

A timer per request costs more than the request's own bookkeeping; writing a float does not. The precision
is the sweep's interval, which is sufficient for timeouts of seconds.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

NEVER: Final = math.inf
LATE: Final = 1.0  # seconds


class Timed:
    """Has a deadline. A base class, not a protocol: the sweeper looks at thousands of them."""

    __slots__ = ("deadline",)

    deadline: float  # loop time, or NEVER

    def on_deadline(self, now: float) -> None:
        """The deadline has passed; set a new one or close."""
        raise NotImplementedError


class Sweeper:
    """Calls `on_deadline` of every item in `items` whose deadline has passed, each `interval` seconds.

    A sweep that comes late judges nothing: the process stood still, and what arrived meanwhile is unread.
    """

    __slots__ = ("_due", "_handle", "_interval", "_loop", "items")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self.items: set[Timed] = set()
        self._loop = loop
        self._interval = interval
        self._due = loop.time() + interval
        self._handle = loop.call_later(interval, self._sweep)

    def stop(self) -> None:
        self._handle.cancel()

    def _sweep(self) -> None:
        self._handle = self._loop.call_later(self._interval, self._sweep)
        now = self._loop.time()
        late = now - self._due > LATE
        self._due = math.inf if late else now + self._interval  # the next one judges, however late it is
        if late:
            return
        for item in [item for item in self.items if item.deadline <= now]:
            if item.deadline <= now and item in self.items:  # one that is called may reset or remove others
                item.on_deadline(now)
