"""Who the client is if the request came through trusted proxies (server.trusted_proxies).

An address can be written in many ways, and some proxies write more than the address. Each address is
normalized, so that a client has one sticky key whichever way it came.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

MAX_HOPS: Final = 32  # of our own proxies that are looked at, one behind the other
MAX_ADDRESS: Final = 64  # characters, with brackets and port

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_bracketed: Final = re.compile(r"\[([^\]]*+)\](?::[0-9]{0,5})?").fullmatch
_with_port: Final = re.compile(r"([0-9.]++):[0-9]{0,5}").fullmatch


def canonical(text: str) -> str | None:
    """The one spelling of the address that `text` is: without port, brackets, quotes and zone, in lower case,
    IPv6 compressed, IPv4 in IPv6 as IPv4. None if it is no address.
    """
    if len(text) > MAX_ADDRESS:
        return None
    text = text.strip(' \t"')
    found = _bracketed(text) or _with_port(text)
    if found is not None:
        text = found[1]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def network(text: str) -> Network:
    """In CIDR form. One of IPv4 addresses in IPv6 is the network of those: `canonical` has no others."""
    parsed = ipaddress.ip_network(text)
    if isinstance(parsed, ipaddress.IPv6Network) and parsed.subnet_of(_MAPPED):
        first = parsed.network_address.ipv4_mapped
        assert first is not None
        return ipaddress.ip_network(f"{first}/{parsed.prefixlen - _MAPPED.prefixlen}")
    return parsed


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
    for hop in reversed(_last_members(forwarded_for)[1]):
        candidate = canonical(hop.decode("latin-1"))
        if candidate is None:
            break
        client = candidate
        if not is_trusted(candidate, networks):
            break
    return client


def forwarded_for(values: Sequence[bytes], peer: bytes) -> bytes:
    """X-Forwarded-For for a backend: what trusted proxies said, in canonical spelling, then `peer`.

    What is no address stays as it is, and so does what lies further back than anybody looks.
    """
    before, members = _last_members(values)
    known = [
        member if (address := canonical(member.decode("latin-1"))) is None else address.encode("ascii")
        for member in members
    ]
    return b", ".join([*before, *known, peer])


def _last_members(values: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What comes before the last MAX_HOPS members of the list, and these. Empty members are none."""
    parts = b",".join(values).strip(b" \t,").rsplit(b",", MAX_HOPS)
    before, members = (parts[:1], parts[1:]) if len(parts) > MAX_HOPS else ([], parts)
    return before, [member for part in members if (member := part.strip(b" \t"))]
