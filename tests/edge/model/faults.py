"""Fixes taken out again: a model that finds nothing then proves nothing.

Several of them stand one behind the other. What one lets through the next one stops and counts, so that most
of them have to be taken out together before a client or a backend sees anything of it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest.mock import patch

from proxy.edge.client.http1 import ClientConnection
from proxy.edge.deadlines import Sweeper
from proxy.edge.exchange.exchange import Exchange
from proxy.edge.exchange.keyed_write import KeyedWrite
from proxy.edge.exchange.sending import Sending
from proxy.edge.exchange.states import ANSWERED, ENDED, SENT, SETTLING, WAITING
from proxy.edge.upstream.address import Address
from proxy.edge.upstream.connection import UpstreamConnection
from proxy.edge.upstream.pool import Pool


def _sweep(self: Sweeper) -> None:
    """Times out all that the list held when it was made, even if a deadline has moved since."""
    self._handle = self._loop.call_later(self._interval, self._sweep)
    now = self._loop.time()
    for item in [item for item in self.items if item.deadline <= now]:
        item.on_deadline(now)


def _wants_connection(self: Sending, pool: Pool) -> bool:
    """Only the end counts, which a write with a key reaches when the store has answered."""
    return self.state != ENDED


def _settles(self: KeyedWrite, *given: Any) -> bool:
    """Who waits goes on waiting until the store has answered."""
    settles = _real_settles(self, *given)
    if self.exchange.state == SETTLING:
        self.exchange.state = WAITING
    return settles


_real_settles = KeyedWrite.settles


def _is_over(self: KeyedWrite) -> bool:
    """What has waited for the store goes on, whatever has happened meanwhile."""
    return False


def _in_state(state: int, method: Callable[..., None]) -> Callable[..., None]:
    """As if the exchange were in the state that the event belongs to."""

    @functools.wraps(method)
    def unguarded(self: Sending, *given: Any) -> None:
        self.state = state
        method(self, *given)

    return unguarded


def _end(self: Exchange) -> None:
    """As often as you like, and the client stays within reach."""
    if self.key is not None:
        self.key.on_end()
    self.leave_pool()
    self.state = ENDED
    self.services.observers.observe(self.outcome())
    if self.body is not None:
        self.body.pieces = []
    if self.client is not None:
        self.client.on_exchange_end(self)


def _as_current(method: Callable[..., None]) -> Callable[..., None]:
    """As if the exchange were the one that the client waits for."""

    @functools.wraps(method)
    def unguarded(self: ClientConnection, exchange: Exchange, *given: Any, **named: Any) -> None:
        current, self.exchange = self.exchange, exchange
        method(self, exchange, *given, **named)
        if self.exchange is exchange:
            self.exchange = current

    return unguarded


def _protocol(self: Pool, address: Address) -> UpstreamConnection:
    """The pool hears of the end of a connection, although who makes it finds that out as well."""
    connection = UpstreamConnection(self, address)
    connection.pooled = True
    return connection


Replaced = tuple[Any, str, Callable[..., Any]]

FAULTS: Final[dict[str, tuple[Replaced, ...]]] = {
    "made-is-counted-twice": ((Pool, "_protocol", _protocol),),
    "sweep-does-not-look-again": ((Sweeper, "_sweep", _sweep),),
    "settling-wants-connection": ((Sending, "wants_connection", _wants_connection),),
    "waited-unguarded": ((KeyedWrite, "_is_over", _is_over),),
    "settling-late": ((KeyedWrite, "settles", _settles),),
    "connection-unguarded": ((Exchange, "send_on", _in_state(WAITING, Exchange.send_on)),),
    "answer-unguarded": (
        (Exchange, "on_response", _in_state(SENT, Exchange.on_response)),
        (Exchange, "on_data", _in_state(ANSWERED, Exchange.on_data)),
    ),
    "end-unguarded": ((Exchange, "end", _end),),
    "client-unguarded": (
        (ClientConnection, "send", _as_current(ClientConnection.send)),
        (ClientConnection, "reply", _as_current(ClientConnection.reply)),
        (ClientConnection, "on_exchange_end", _as_current(ClientConnection.on_exchange_end)),
    ),
}


@contextlib.contextmanager
def put_back(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, attribute, old in FAULTS[name]:
            stack.enter_context(patch.object(owner, attribute, old))
        yield
