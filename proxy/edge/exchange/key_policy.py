"""Which requests are keyed writes: those whose endpoint minds idempotency keys, if they have or need one."""

from __future__ import annotations

from proxy.edge.exchange.exchange import Exchange
from proxy.edge.exchange.keyed_write import KeyedWrite


def apply_key_policy(exchange: Exchange) -> None:
    """Makes it a keyed write, unless the request has no key and may lack one."""
    endpoint = exchange.endpoint
    assert endpoint is not None
    keys = exchange.head.fields.values(exchange.snapshot.idempotency.header)
    needed = bool(keys) or endpoint.idempotency == "required"
    if needed and not exchange.services.writes.ownership_off:
        exchange.key = KeyedWrite(exchange, endpoint, keys)
