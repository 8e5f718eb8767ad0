"""Distinguishes a backend that hangs from one that works, by how long clients wait for its answers.

A hang produces no result until `timeouts.response` or `timeouts.idle`, and most clients give up sooner. So
their waits are evaluated: a long wait in which nothing at all came from the backend counts against it.
Beginnings of answers do not count for it, because a backend may hang after them.
"""

from __future__ import annotations

from typing import Final

from proxy.edge.deadlines import NEVER
from proxy.edge.upstream.address import Pooled
from proxy.edge.upstream.events import is_event_stream
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.patience import idle_timeout, response_timeout

# All in seconds. Not Final: tests change them.
LONG = 1.0  # that a client has waited before its giving up means anything
ALIVE = 0.5  # after an answer's head: pieces that come then show that the backend goes on with its work
STEADY = 10.0  # that an answer without a length flows before it counts as a success
_ROUNDING: Final = 0.001  # of times that are added and subtracted again


def waits_since(connection: Pooled, pool: Home) -> float:
    """Since when the next byte of an answer is waited for; NEVER if none is.

    A client that does not read stops the clock, and an event stream may be silent.
    """
    exchange = connection.exchange
    if exchange is None or not connection.request_sent:
        return NEVER
    response = connection.response
    if response is None and not connection.full:
        return connection.deadline - response_timeout(exchange, pool.backend)
    if response is not None and is_event_stream(response):
        return NEVER
    return connection.deadline - idle_timeout(exchange, pool.backend)


def given_up(connection: Pooled, pool: Home) -> bool:
    """The client has left: whether it waited long, and nothing came from the whole backend meanwhile.

    Its address hears of it, if nothing came from that.
    """
    since, now = waits_since(connection, pool), pool.loop.time()
    if now - since < LONG:
        return False
    since += _ROUNDING
    address = connection.address
    if address.last_heard() > since:
        return False
    address.given_up(now)
    return pool.last_heard() <= since
