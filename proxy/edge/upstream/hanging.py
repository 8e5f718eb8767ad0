"""Distinguishes a backend that hangs from one that works, by how long clients wait for its answers.

A hang produces no result until `timeouts.response` or `timeouts.idle`, and most clients give up sooner. So
their waits are evaluated: a long wait in which nothing at all came from the backend counts against it.
Beginnings of answers do not count for it, because a backend may hang after them. A short wait says nothing
by itself, but many of them do if nothing came for long: clients may be less patient than the proxy's limit.
"""

from __future__ import annotations

from typing import Final

from proxy.edge.deadlines import NEVER
from proxy.edge.upstream.address import Address, Pooled
from proxy.edge.upstream.events import is_event_stream
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.patience import idle_timeout, response_timeout

# All in seconds. Not Final: tests change them.
LONG = 1.0  # that a client has waited before its giving up means anything by itself
BRIEF = 0.1  # that it has waited before its giving up means anything together with others
ALIVE = 0.5  # after an answer's head or first interim answer: what comes then shows that work goes on
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


def given_up(connection: Pooled, pool: Home) -> int:
    """Its client has left: how many failures of the backend that makes known."""
    return failures(connection.address, pool, waits_since(connection, pool))


def failures(address: Address, pool: Home, since: float) -> int:
    """A client that waited for `address` since then has left: how many failures of the backend that makes
    known, this one or a run of them. None if something came from the whole backend meanwhile.

    The address hears of them, if nothing came from that.
    """
    now = pool.loop.time()
    waited = now - since
    since += _ROUNDING
    if waited < min(LONG, BRIEF) or address.last_heard() > since:
        return 0
    number = 1
    if waited < LONG:
        number = address.left(since, now)
        since = address.run_began
        if not number:
            return 0
    address.given_up(now, number)
    return number if pool.last_heard() <= since else 0
