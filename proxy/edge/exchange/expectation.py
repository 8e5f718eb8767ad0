"""A client that waits for `100 Continue` at an endpoint that buffers nothing: the backend is asked first.

    head, with Expect -> 100, or nothing for LONGEST -> the client's body
                      -> a final answer, for which the body is never read

Where bodies are buffered the client is told to go on at once, for the backend sees nothing before the buffer
is full; and of a keyed write the whole is needed before anything is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core.forwarding import replies

if TYPE_CHECKING:
    from proxy.edge.exchange.exchange import Exchange

LINE = b"expect: 100-continue\r\n"
LONGEST = 1.0  # seconds; a backend may not know 100 (RFC 9110 section 10.1.1). Not Final: tests change it


class Expectation:
    """Belongs to one exchange until its body may come."""

    __slots__ = ("_exchange", "_timer")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """The head is on its way to a backend, perhaps to another one than before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._exchange.services.loop.call_later(LONGEST, self.met)

    def met(self) -> None:
        """The body may come: the backend wants it, or does not say."""
        exchange = self._exchange
        if self._timer is not None:
            self._timer.cancel()
        client, upstream = exchange.client, exchange.upstream
        if exchange.expectation is not self or not exchange.is_sent() or client is None or upstream is None:
            return
        exchange.expectation = None
        client.send(exchange, replies.CONTINUE)
        upstream.stall()  # from here on it waits for the client
        client.resume_body()
