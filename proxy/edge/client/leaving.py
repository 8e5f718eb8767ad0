"""Clients that have closed their sending side while their request is under way (`server.abort_on_eof: safe`).

A FIN may mean that a client has left, or that it has nothing more to say. One that has left answers the first
bytes that it is sent with a reset. So a safe request is given up when a second passes in which nothing is
sent: no backend works for nobody, and no answer that is on its way is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.edge.client.http1 import ClientConnection
    from proxy.edge.exchange.exchange import Exchange

PATIENCE = 1.0  # seconds. Not Final: tests shorten it, also where this is compiled


class Leaving:
    """Looks at one client again and again, until its connection ends."""

    __slots__ = ("_client", "_exchange", "_written")

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._exchange: Exchange | None = None
        self._written = 0
        self._look()

    def _look(self) -> None:
        client = self._client
        exchange = client.exchange
        if client.closed:
            return
        quiet = exchange is self._exchange and client.written == self._written
        if exchange is not None and exchange.safe and quiet and client.is_writable():
            client.give_up(exchange)
            return
        self._exchange, self._written = exchange, client.written
        client.services.loop.call_later(PATIENCE, self._look)
