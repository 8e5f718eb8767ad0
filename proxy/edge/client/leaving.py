"""Clients that close their sending side while their request is in progress (`server.abort_on_eof: safe`).

A FIN may mean that a client has left, or that it has nothing more to send. A client that has left answers
the first bytes that it receives with a reset. So a safe request is aborted when nothing is sent to its
client for a second: no backend works for nobody, and no answer that is being sent is cut.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.edge.client.transport import Connection
from proxy.edge.exchange.exchange import Exchange

PATIENCE = 1.0  # seconds. Not Final: tests shorten it, also where this is compiled


class Leaving:
    """Looks at one client again and again, until its connection ends."""

    __slots__ = ("_client", "_exchange", "_give_up", "_under_way", "_written")

    def __init__(
        self,
        client: Connection,
        under_way: Callable[[], Exchange | None],
        give_up: Callable[[Exchange], None],
    ) -> None:
        self._client = client
        self._under_way = under_way
        self._give_up = give_up
        self._exchange: Exchange | None = None
        self._written = 0
        self._look()

    def _look(self) -> None:
        client = self._client
        if client.closed:
            return
        exchange = self._under_way()
        quiet = exchange is self._exchange and client.written == self._written
        if exchange is not None and exchange.safe and quiet and client.is_writable():
            self._give_up(exchange)
            return
        self._exchange, self._written = exchange, client.written
        client.services.loop.call_later(PATIENCE, self._look)
