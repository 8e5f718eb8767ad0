"""Backend connections that wait for their clients, and for how long. `slow_clients` decides which give way.

A connection waits for its client while the client has bytes of its body to send, or bytes of the answer to
read. It does not wait for the client while the backend works, sends, or does not read. No rate is slow by
itself; what counts is how much longer a connection has waited for its client than it has worked. So a
client at less than half of the backend's pace is slow, whatever that pace is. Slow clients are left alone
while there is room. When requests wait, connections beyond the share of slow clients are ended, those that
have waited longest first.
"""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.edge.upstream.address import Pooled

# Seconds that a connection has waited for its client, and twice those that a request has waited for one,
# together, before the connection gives way: so nobody waits for slow clients much longer than half of this.
PATIENCE = 1.0  # not Final: tests change it
FIRST_LOOK: Final = 0.25  # at what is stalled, in parts of PATIENCE after a request began to wait
NEXT_LOOK: Final = 0.1
# Seconds after requests had to wait for slow clients in which no upload begins beyond the share.
CAUTION = 5.0  # not Final: tests shorten it


class Stalled:
    """Those that wait for their clients at the moment."""

    __slots__ = ("_connections", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connections: dict[Pooled, None] = {}  # in the order in which they began to

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Pooled) -> None:
        now = self._loop.time()
        connection.waited = max(0.0, connection.waited - (now - connection.turned))
        connection.turned = now
        self._connections[connection] = None

    def remove(self, connection: Pooled) -> None:
        now = self._loop.time()
        connection.waited += now - connection.turned
        connection.turned = now
        del self._connections[connection]

    def longest(self, least: float, now: float) -> Pooled | None:
        """The one that has waited longest, if that is `least` seconds."""
        found: Pooled | None = None
        most = least
        for connection in self._connections:
            waited = connection.waited + now - connection.turned
            if waited > most or (found is None and waited == most):
                most, found = waited, connection
        return found
