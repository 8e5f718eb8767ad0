"""Access to the admin port: users by their tokens, and no access for web pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final
from urllib.parse import urlsplit

from proxy.core.settings import ADMIN, AdminUser, Server

FAILURES: Final = 10  # wrong tokens that one address may send within PERIOD
PERIOD: Final = 60.0  # seconds
ADDRESSES: Final = 1024  # remembered; beyond that the oldest is forgotten


class Failures:
    """Slows down who guesses tokens, by address. Times in seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, client: str, now: float) -> None:
        self._failed.setdefault(client, deque(maxlen=FAILURES)).append(now)
        self._failed.move_to_end(client)
        if len(self._failed) > ADDRESSES:
            self._failed.popitem(last=False)

    def wait(self, client: str, now: float) -> int:
        """Whole seconds until this address may try again; 0: now."""
        times = self._failed.get(client)
        if times is None or len(times) < FAILURES or now - times[0] >= PERIOD:
            return 0
        return ceil(PERIOD - (now - times[0]))


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


def from_foreign_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of another site or origin made it send this."""
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the request comes from our own page or from no page at all (a command line)."""
    if from_foreign_page(headers):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return bool(origin) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def bearer_token(authorization: str) -> str:
    """The token of `Authorization: Bearer <token>` (RFC 6750 section 2.1); "" where there is none.

    Credentials of another scheme are no guess at a token: a browser adds those that it knows by itself.
    """
    scheme, _, given = authorization.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def users_of(server: Server) -> tuple[AdminUser, ...]:
    """Whoever has a token. Nobody: no token is asked for."""
    admin = (AdminUser(ADMIN, "operator", server.admin_token),) if server.admin_token else ()
    return (*admin, *server.admin_users)


def user_with(given: str, users: Iterable[AdminUser]) -> AdminUser | None:
    """Whose token this is. Takes as long whoever's it is: all are compared, each in constant time."""
    found = None
    digest = _digest(given.encode("utf-8", "surrogateescape"))
    for user in users:
        if hmac.compare_digest(digest, _digest(user.token.encode())):
            found = user
    return found


def _digest(token: bytes) -> bytes:
    """Of one length for all tokens."""
    return hashlib.sha256(token).digest()
