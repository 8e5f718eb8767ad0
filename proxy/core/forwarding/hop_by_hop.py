"""Builds the outbound header blocks. The inbound ones are never changed.

Hop-by-hop fields are removed (RFC 9110 section 7.6.1). What a client says about its own address is trusted
only if it comes from a trusted proxy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from proxy.core.forwarding.forwarded import forwarded_for
from proxy.core.forwarding.protected import ALWAYS, TWINS, is_protected, is_twin
from proxy.core.http1.names import SHADOW
from proxy.core.http1.request import RequestFields, RequestHead
from proxy.core.http1.response import CHUNKED, ResponseHead
from proxy.core.settings import ASYNC, LEGACY, BackendName

VIA: Final = b"1.1 strangler"

# Never forwarded to a backend. Expect is answered here; framing of chunked bodies is written afresh.
_DROPPED: Final = frozenset(
    {
        b"connection",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"x-backend",
        b"x-backend-token",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-served-by",
        SHADOW,
    }
)
_FRAMING: Final = frozenset({b"content-length", b"host", b"transfer-encoding"})

_ALWAYS_KEPT: Final = frozenset({b"content-length", b"host", b"x-request-id"})

# Connection may not name away the framing; its usual options are no fields, or go anyway.
_NOT_NAMED: Final = _FRAMING | {b"close", b"keep-alive", b"upgrade"}

_RESPONSE_DROPPED: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)

# Combinations of names that are remembered; a connection's options are bounded anyway.
_USUAL: Final = 16
_USUAL_BYTES: Final = 512

SERVED_BY: Final[dict[BackendName, bytes]] = {
    LEGACY: b"x-served-by: legacy\r\n",
    ASYNC: b"x-served-by: async\r\n",
}


class Hop(NamedTuple):
    """What the proxy knows about the connection that a request came in on."""

    peer: bytes  # address of the TCP peer
    trusted: bool  # whether it is one of server.trusted_proxies
    scheme: bytes = b"http"


def request_block(
    head: RequestHead, hop: Hop, host: bytes | None, protected: frozenset[bytes] = ALWAYS
) -> bytes:
    """All header lines for the backend but x-request-id, an upgrade and the framing of a chunked body.

    `host` replaces the client's Host if not None; `protected` fields stay, whatever Connection says, and
    others do not pass for them.
    """
    fields = head.fields
    wanted = head.host if host is None else host
    dropped: tuple[bytes, ...] = ()
    for name in fields.special:
        if name not in _ALWAYS_KEPT:
            dropped = _dropped_of(fields, hop.trusted, protected)
            break
    prefix = b""
    if wanted != fields.host or not wanted:  # HTTP/1.0 without Host: an empty one (RFC 9112 section 3.2)
        dropped = (*dropped, b"host")
        prefix = b"Host: %b\r\n" % wanted
    return prefix + (fields.without(dropped) if dropped else fields.raw) + _forwarded(head, hop)


def request_head(head: RequestHead, block: bytes, added: bytes, request_id: bytes) -> bytes:
    """A whole head for the backend: `block` from `request_block`, `added` whole lines of what is not in it.

    `request_id` is of use if the client sent none.
    """
    end = b"\r\n" if not request_id else b"x-request-id: %b\r\n\r\n" % request_id
    return b"%b %b HTTP/1.1\r\n%b%b%b" % (head.method.encode("ascii"), head.target, block, added, end)


def response_block(response: ResponseHead, served_by: BackendName | None) -> bytes:
    """Status line and header lines for the client, without its connection's own fields."""
    special = response.special
    if not special or (len(special) == 1 and b"content-length" in special and response.status != 204):
        block = response.raw
    else:
        bodiless = response.status == 204 or response.length == CHUNKED
        dropped = _response_dropped(tuple(special), response.connection, served_by is not None, bodiless)
        if response.status == 426 and b"upgrade" in dropped:
            block = _upgrade_required(response, dropped)
        else:
            block = response.without(dropped) if dropped else response.raw
    if served_by is None:
        return b"HTTP/1.1 %b\r\n%b" % (response.line, block)
    return b"HTTP/1.1 %b\r\n%b%b" % (response.line, block, SERVED_BY[served_by])


def _upgrade_required(response: ResponseHead, dropped: tuple[bytes, ...]) -> bytes:
    """A 426 says to which protocol (RFC 9110 section 15.5.22), and Upgrade belongs to each connection."""
    block = response.without(tuple(name for name in dropped if name != b"upgrade"))
    return block + b"connection: upgrade\r\n"


def _dropped_of(fields: RequestFields, trusted: bool, protected: frozenset[bytes]) -> tuple[bytes, ...]:
    """Clients choose names, such as those with an underscore: what is unusual is not remembered."""
    special = tuple(fields.special)
    if len(special) > _USUAL or sum(map(len, special)) > _USUAL_BYTES:
        return _names_dropped(special, fields.connection, trusted, protected)
    return _request_dropped(special, fields.connection, trusted, protected)


# What goes depends on a few names only, and the same few combinations come again and again.
@lru_cache(maxsize=256)
def _request_dropped(
    special: tuple[bytes, ...], connection: tuple[bytes, ...], trusted: bool, protected: frozenset[bytes]
) -> tuple[bytes, ...]:
    return _names_dropped(special, connection, trusted, protected)


def _names_dropped(
    special: tuple[bytes, ...], connection: tuple[bytes, ...], trusted: bool, protected: frozenset[bytes]
) -> tuple[bytes, ...]:
    dropped = {name for name in special if _is_dropped(name, trusted, protected)}
    named = [name for name in connection if name not in _NOT_NAMED]
    dropped.update(name for name in named if not is_protected(name, protected))
    return tuple(sorted(dropped))


@lru_cache(maxsize=256)  # `connection` is bounded by `connection_options`, the rest are names of ours
def _response_dropped(
    special: tuple[bytes, ...], connection: tuple[bytes, ...], replace_served_by: bool, drop_length: bool
) -> tuple[bytes, ...]:
    dropped = set(_RESPONSE_DROPPED)
    if replace_served_by:
        dropped.add(b"x-served-by")
    if drop_length:
        dropped.add(b"content-length")
    dropped.intersection_update(special)
    dropped.update(name for name in connection if name not in _NOT_NAMED)
    return tuple(sorted(dropped))


def _is_dropped(name: bytes, trusted: bool, protected: frozenset[bytes]) -> bool:
    if b"_" in name:
        # CGI-style backends read `-` and `_` alike, so X_Forwarded_For would pass for the real one.
        twin = name.replace(b"_", b"-")
        if twin in _DROPPED or twin in _FRAMING or _claims_origin(twin):
            return True
        return TWINS not in protected and is_twin(name, protected)
    return name in _DROPPED or (not trusted and _claims_origin(name))


def _claims_origin(name: bytes) -> bool:
    return name.startswith(b"x-forwarded-") or name == b"forwarded"


def _forwarded(head: RequestHead, hop: Hop) -> bytes:
    fields = head.fields
    peer, scheme, host = hop.peer, hop.scheme, head.host
    if hop.trusted:
        peer = forwarded_for(fields.values(b"x-forwarded-for"), peer)
        scheme = _list(fields, b"x-forwarded-proto") or scheme
        host = _list(fields, b"x-forwarded-host") or host
    via = VIA
    if b"via" in fields.special and (before := _list(fields, b"via")):
        via = before + b", " + VIA
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\nvia: %b\r\n" % (
        peer,
        scheme,
        host,
        via,
    )


def _list(fields: RequestFields, name: bytes) -> bytes:
    """The members of all lines with this name, as one list."""
    return b", ".join([value for value in fields.values(name) if value])
