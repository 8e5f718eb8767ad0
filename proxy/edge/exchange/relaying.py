"""The answer to a keyed write on its way to the client: held back for the store, then relayed.

Events are relayed as they come, and held all the same: a whole that is good for a replay comes at their end.
"""

from __future__ import annotations

import time

from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import Record
from proxy.edge.exchange.exchange import RETRY_AFTER, Exchange
from proxy.edge.exchange.held import HeldAnswer
from proxy.edge.upstream.events import is_event_stream


class Relaying:
    """Of one exchange. `streams`: the client gets the answer as it comes, and the store the whole."""

    __slots__ = ("_exchange", "held", "streams")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.streams = False
        self.held = HeldAnswer(exchange.snapshot.idempotency.max_response)

    def add(self, record: Record, data: bytes, complete: bool, trailers: Pairs) -> bool:
        """True once: when it is time to tell the store."""
        response = self._exchange.answer
        if not self.streams and response is not None and is_event_stream(response):
            self.streams = not idempotency.in_use(record, response.status)
        if self.streams:
            self._stream(data, complete, trailers)
        return self.held.add(data, complete, trailers)

    def _stream(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        """To the client before the store knows; what ends it early leaves the key unknown."""
        exchange = self._exchange
        client, response = exchange.client, exchange.answer
        if client is not None and exchange.relayed:
            client.send(exchange, exchange.go_on_answer(data, complete, trailers))
        elif client is not None and response is not None:
            exchange.relayed = True
            client.send(exchange, exchange.begin_answer(response, data, complete, trailers))

    def outcome(self, record: Record, response: ResponseHead, room: int | None) -> Record:
        """What the store is to know, which has `room` for so many bytes; None: any."""
        exchange = self._exchange
        backend = exchange.snapshot.backend(exchange.backend)
        return self.held.outcome(record, response, backend, exchange.served_by(), time.time(), room)

    def refuse_in_use(self) -> None:
        """An earlier attempt still runs: the backend's refusal must not pass for the answer to the write."""
        exchange = self._exchange
        exchange.drop_upstream()
        self.held.take()
        status = exchange.snapshot.idempotency.in_flight
        detail = (
            "an earlier request with this idempotency key may still be running; try again with the same key"
        )
        exchange.answer_here(status, "client", "idempotency_in_flight", detail, retry_after=RETRY_AFTER)

    def relay(self, response: ResponseHead) -> None:
        """What was held goes to the client, and the rest follows by itself."""
        held, exchange = self.held, self._exchange
        client = exchange.client
        data = held.take()
        if client is not None and not self.streams:
            exchange.relayed = True
            client.send(exchange, exchange.begin_answer(response, data, held.whole, held.trailers))
        if held.whole:
            exchange.complete(response.status)
        elif exchange.upstream is None:
            exchange.abort_relay()
        elif self.streams and client is None:  # nobody waits for events without an end
            exchange.drop_upstream()
            exchange.end()
        elif client is None or client.is_writable():
            exchange.upstream.resume()
