"""Requests that ask to switch protocols (RFC 9110 section 7.8), and the tunnels that come of it.

Tunnels do not count as connections of a backend, as they may last for hours: they have a limit of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.forwarding.hop_by_hop import response_block
from proxy.core.http1.response import ResponseHead
from proxy.edge.exchange.attempts import RETRY_AFTER

if TYPE_CHECKING:
    from proxy.edge.exchange.exchange import Exchange
    from proxy.edge.upstream.pool import Pool


def has_room(pool: Pool) -> bool:
    return pool.tunnels < pool.backend.tunnels


def switch(exchange: Exchange, response: ResponseHead, rest: bytes) -> bool:
    """Makes a tunnel of both connections after 101; False if the backend has as many as it may have."""
    client, upstream = exchange.client, exchange.upstream
    if upstream is None or not has_room(upstream.pool):
        return False
    if client is None:
        upstream.abort()
        return True
    head = response_block(response, exchange.served_by())
    head += b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % (response.get(b"upgrade") or b"")
    upstream.pool.switch(upstream)
    client.switch(exchange, head + rest, upstream)
    return True


def refuse(exchange: Exchange) -> None:
    """There is no room for another tunnel."""
    exchange.services.count_error("upstream", "no_tunnel")
    if exchange.client is not None:
        exchange.status = 503
        detail = f"the {exchange.backend} backend has as many tunnels as it may have"
        exchange.client.reply(exchange, 503, "upstream", "no_tunnel", detail, retry_after=RETRY_AFTER)
