"""Who may use the admin port: the token, and protection against other web pages in an engineer's browser."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host; names other than localhost are not trusted to be."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """The host of `host:port`, of `host` and of `[v6]:port`, lower case, without brackets."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def host_allowed(host: str, bound: str) -> bool:
    """Against DNS rebinding: a loopback admin port answers only to loopback names and its own."""
    if not is_loopback(host_of(bound)):
        return True
    name = host_of(host)
    return is_loopback(name) or name == host_of(bound)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the request comes from our own page or from no page at all (a command line)."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return bool(origin) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def token_valid(authorization: str, token: str) -> bool:
    """Whether `Authorization` is `Bearer <token>` (RFC 6750 section 2.1), compared in constant time."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.encode()
    )
