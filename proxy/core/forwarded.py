"""Who the client is when the request came through proxies of our own (server.trusted_proxies)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_trusted(address: str, networks: Sequence[Network]) -> bool:
    """Whether `address` lies in one of `networks`. A unix socket's peer ("") never does."""
    if not networks:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def client_address(peer: str, forwarded_for: Sequence[bytes], networks: Sequence[Network]) -> str:
    """The right-most address that no trusted proxy vouches for; `peer` if it is not a trusted proxy.

    `forwarded_for` holds the values of all X-Forwarded-For fields in order. Everything left of the answer
    was written by strangers.
    """
    if not is_trusted(peer, networks):
        return peer
    client = peer
    for hop in reversed(b",".join(forwarded_for).split(b",")):
        candidate = hop.strip(b" \t").decode("latin-1").strip("[]")
        try:
            ipaddress.ip_address(candidate)
        except ValueError:
            break
        client = candidate
        if not is_trusted(candidate, networks):
            break
    return client
