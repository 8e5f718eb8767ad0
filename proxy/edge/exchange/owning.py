"""Which requests have an ownership: those of endpoints with idempotency keys, if they have or need a key."""

from __future__ import annotations

from proxy.edge.exchange.exchange import Exchange
from proxy.edge.exchange.ownership import Ownership


def own(exchange: Exchange) -> None:
    """Gives an exchange the ownership that it needs: none if the request has no key and may lack one."""
    endpoint = exchange.endpoint
    assert endpoint is not None
    keys = exchange.head.fields.values(exchange.snapshot.idempotency.header)
    needed = bool(keys) or endpoint.idempotency == "required"
    if needed and not exchange.services.writes.ownership_off:
        exchange.owner = Ownership(exchange, endpoint, keys)
