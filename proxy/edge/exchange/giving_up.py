"""What it tells that a client has left before it had its answer.

What it waited for may have been a backend that hangs, an endpoint that does, or one that cannot be reached.
"""

from __future__ import annotations

import time

from proxy.core.settings import ASYNC
from proxy.edge.exchange.sending import Sending
from proxy.edge.exchange.states import WAITING
from proxy.edge.ports import NOTHING
from proxy.edge.upstream import hanging


def told(exchange: Sending) -> None:
    """To those who judge backends. The request is about to end as one that was aborted."""
    if exchange.trial is not None and exchange.body_complete:
        exchange.trial.left()
    if not exchange.asked:
        return
    endpoint = exchange.endpoint
    breaker = exchange.snapshot.breaker if endpoint is None else endpoint.breaker
    tells = breaker.give_ups > 0 and exchange.body_complete
    waited = _waited_in_vain(exchange) if tells else 0.0
    if waited < hanging.LONG:
        early = waited >= hanging.BRIEF
        exchange.services.counters.count_leaving(endpoint, exchange.backend, exchange.reason, early=early)


def _waited_in_vain(exchange: Sending) -> float:
    """Seconds that the client had waited without getting what it asked for; tells the breakers."""
    upstream, gave_up = exchange.upstream, NOTHING
    waited = time.perf_counter() - exchange.started
    if upstream is not None:
        gave_up = upstream.given_up()
        if exchange.attempts is None or exchange.answer is not None:
            waited = gave_up.waited
    elif exchange.state == WAITING:
        gave_up = exchange.services.pools[exchange.backend].given_up(exchange)
    if exchange.backend == ASYNC:
        exchange.services.breakers.given_up(exchange.endpoint, gave_up)
    return waited
