"""Who the client is when the request came through proxies of our own (server.trusted_proxies)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

MAX_HOPS: Final = 32  # of our own proxies that are looked at, one behind the other

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
    was written by strangers. Of more than MAX_HOPS trusted ones, the last that was looked at is the answer.
    """
    if not is_trusted(peer, networks):
        return peer
    client = peer
    for hop in reversed(b",".join(forwarded_for).rsplit(b",", MAX_HOPS)[-MAX_HOPS:]):
        candidate = hop.strip(b" \t").decode("latin-1").strip("[]")
        try:
            ipaddress.ip_address(candidate)
        except ValueError:
            break
        client = candidate
        if not is_trusted(candidate, networks):
            break
    return client
