"""Distinguishes a backend that hangs from one that works, by how long clients wait for its answers.

A hang produces no result until `timeouts.response` or `timeouts.idle`, and most clients give up sooner. So
their waits are evaluated: a long wait in which no whole answer came from the backend counts against it.
Interim answers and pieces of a body only speak for the exchange that they belong to, and for that not for
ever: a backend may hang after them, or repeat them while it hangs. A short wait says nothing by itself, but
many of them do if nothing came for long: clients may be less patient than the proxy's limit.
"""

from __future__ import annotations

from typing import Final

from proxy.edge.deadlines import NEVER
from proxy.edge.ports import GaveUp
from proxy.edge.upstream.address import Address, Pooled
from proxy.edge.upstream.events import is_event_stream
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.patience import idle_timeout, response_timeout

# All in seconds. Not Final: tests change them.
LONG = 1.0  # that a client has waited before its giving up means anything by itself
BRIEF = 0.1  # that it has waited before its giving up means anything together with others
ALIVE = 0.5  # after the request: an interim answer that comes then shows that it is worked on
PATIENT = 3.0  # that a client has waited, although such signs came, before its giving up means anything
SLOW = 1024  # bytes per second: a body that comes more slowly is no answer either, unless its client is slow
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
    if response is not None and (is_event_stream(response) or connection.deadline == NEVER):
        return NEVER
    if response is not None and _crawls(connection, pool):
        return connection.began
    return connection.deadline - idle_timeout(exchange, pool.backend)


def _crawls(connection: Pooled, pool: Home) -> bool:
    """Whether its answer has come so slowly for so long that nobody waits for its end."""
    lasted = pool.loop.time() - connection.began
    if lasted < PATIENT or connection.waited:
        return False
    return connection.received < SLOW * lasted


def given_up(connection: Pooled, pool: Home) -> GaveUp:
    """Its client has left: what that says of the backend."""
    since = waits_since(connection, pool)
    signs = connection.response is None and connection.beat > since + ALIVE
    address = connection.address
    found = judged(address, pool, since, PATIENT if signs else LONG)
    if found.long and address.in_vain(pool.backend.name, connection.host, pool.loop.time()):
        for idle in [each for each in address.idle if each.host == connection.host]:
            idle.abort()
    return found


def judged(address: Address, pool: Home, since: float, long: float) -> GaveUp:
    """A client that waited for `address` since then has left, and `long` is a long wait.

    The failures are this one or a run of them; none if something came from the whole backend meanwhile. The
    address hears of them, if nothing came from that.
    """
    now = pool.loop.time()
    waited = max(0.0, now - since)
    since += _ROUNDING
    found = GaveUp(waited, waited >= long, 0)
    if waited < min(long, BRIEF) or address.last_heard() > since:
        return found
    number = 1
    if waited < long:
        number = address.left(since, now)
        since = address.run_began
        if not number:
            return found
    address.given_up(now, number)
    return found if pool.last_heard() > since else found._replace(failures=number)
