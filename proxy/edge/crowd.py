"""The clients of one worker, and which silent one makes room when the limit of connections is reached.

A new client that sends a request must not wait for clients that send none. So the one that has been silent
longest is closed: first those that have not sent a complete head yet, then those between two requests. A
connection is never closed during an exchange, nor before a moment has passed in which a request may be on
its way.

Requests do no bookkeeping for this. Of the connections between two requests, a few are checked and then
moved to the end of the line, so that the next check finds others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.edge.deadlines import NEVER
from proxy.edge.ports import ClientPort

GRACE = 1.0  # seconds that everybody may be silent. Not Final: tests change it
LOOKS: Final = 16  # at clients, for one newcomer


class Crowd:
    """`full_at` is when there last was no room for a newcomer, in the loop's time."""

    __slots__ = ("_known", "_loop", "_strangers", "full_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._strangers: OrderedDict[ClientPort, float] = OrderedDict()  # when they came
        self._known: OrderedDict[ClientPort, None] = OrderedDict()  # have asked something
        self.full_at = -NEVER

    def entered(self, client: ClientPort) -> None:
        self._strangers[client] = self._loop.time()

    def spoke(self, client: ClientPort) -> None:
        """Its first whole head is there."""
        if self._strangers.pop(client, None) is not None:
            self._known[client] = None

    def left(self, client: ClientPort) -> None:
        if self._strangers.pop(client, None) is None:
            self._known.pop(client, None)

    def leaver(self) -> Callable[[], None] | None:
        """What ends the connection of the one who is to go for a newcomer; None if nobody can go now."""
        now = self._loop.time()
        self.full_at = now
        client = self._longest_here(now - GRACE) or self._longest_idle(now - GRACE)
        return None if client is None else client.make_room

    def _longest_here(self, before: float) -> ClientPort | None:
        for client, came in self._strangers.items():
            return client if came <= before else None
        return None

    def _longest_idle(self, before: float) -> ClientPort | None:
        found: ClientPort | None = None
        for _ in range(min(LOOKS, len(self._known))):
            client = next(iter(self._known))
            self._known.move_to_end(client)
            since = client.idle_since()
            if since < before or (found is None and since == before):
                found, before = client, since
        return found
