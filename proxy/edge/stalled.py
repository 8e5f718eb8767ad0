"""Backend connections that are held up by slow clients, and which of them gives way when others wait.

A connection is stalled while its client does not take the answer, or sends less than PROGRESS of its body in
PATIENCE. That is fine as long as there is room. When requests wait for a connection, those that are stalled
over their share of all connections end, the longest stalled first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.edge.upstream import UpstreamConnection

PATIENCE = 1.0  # seconds; not Final: tests shorten it
PROGRESS: Final = 16 * 1024  # bytes of a request's body


class Stalled:
    """In the order in which they stalled; each is here once."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: dict[UpstreamConnection, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def add(self, connection: UpstreamConnection, now: float) -> None:
        """It waits for its client from now on, even if it did before."""
        self._since.pop(connection, None)
        self._since[connection] = now

    def discard(self, connection: UpstreamConnection) -> None:
        self._since.pop(connection, None)

    def over(self, share: int, now: float) -> UpstreamConnection | None:
        """The one to give way, if more than `share` are stalled and it has been for long enough."""
        if len(self._since) <= share:
            return None
        for connection, since in self._since.items():
            return connection if now - since >= PATIENCE else None
        return None
