"""The outbound header blocks: built beside the inbound ones, which are never changed.

Hop-by-hop fields end here (RFC 9110 section 7.6.1); what the client says about its own address is believed
only from a trusted proxy.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.core.http1.grammar import Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import CHUNKED, ResponseHead
from proxy.core.snapshot import ASYNC, LEGACY, BackendName

VIA: Final = b"1.1 strangler"

# Never forwarded to a backend. Expect is answered here; framing of chunked bodies is written afresh.
_DROPPED: Final = frozenset(
    {
        b"connection",
        b"expect",
        b"host",
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
    }
)
_FRAMING: Final = frozenset({b"content-length", b"host", b"transfer-encoding"})

_RESPONSE_DROPPED: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)

SERVED_BY: Final[dict[BackendName, bytes]] = {
    LEGACY: b"x-served-by: legacy\r\n",
    ASYNC: b"x-served-by: async\r\n",
}


class Hop(NamedTuple):
    """What the proxy knows about the connection that a request came in on."""

    peer: bytes  # address of the TCP peer
    trusted: bool  # whether it is one of server.trusted_proxies
    scheme: bytes = b"http"


def request_block(head: RequestHead, hop: Hop, host: bytes | None, upgrade: bytes | None = None) -> bytes:
    """All header lines for the backend but x-request-id and the framing of a chunked body.

    `host` replaces the client's Host if not None; `upgrade` re-adds the hop-by-hop pair of a tunnel.
    """
    fields = head.fields
    named = [name for name in fields.connection if name not in _FRAMING]
    kept = [
        b"%b: %b\r\n" % (name, value)
        for name, value in fields.pairs
        if (key := name.lower()) not in _DROPPED
        and key not in named
        and (hop.trusted or not _claims_origin(key))
        and (b"_" not in key or not _imitates(key))
    ]
    kept.insert(0, b"Host: %b\r\n" % (head.host if host is None else host))
    kept.append(_forwarded(head, hop))
    if upgrade is not None:
        kept.append(b"connection: upgrade\r\nupgrade: %b\r\n" % upgrade)
    return b"".join(kept)


def response_block(response: ResponseHead, served_by: BackendName | None) -> bytes:
    """Status line and header lines for the client, without its connection's own fields."""
    special = response.special
    if not special or (len(special) == 1 and b"content-length" in special and response.status != 204):
        block = response.block
    else:
        block = b"".join([b"%b: %b\r\n" % pair for pair in _relayed(response, served_by is not None)])
    if served_by is None:
        return b"HTTP/1.1 %b\r\n%b" % (response.line, block)
    return b"HTTP/1.1 %b\r\n%b%b" % (response.line, block, SERVED_BY[served_by])


def _relayed(response: ResponseHead, replace_served_by: bool) -> Pairs:
    named: set[bytes] = set()
    if b"connection" in response.special:
        for name, value in response.pairs:
            if name.lower() == b"connection":
                named.update(token.strip(b" \t") for token in value.lower().split(b","))
    dropped = _RESPONSE_DROPPED | (named - _FRAMING)
    if replace_served_by:
        dropped |= {b"x-served-by"}
    if response.status == 204 or response.length == CHUNKED:
        dropped |= {b"content-length"}
    return [pair for pair in response.pairs if pair[0].lower() not in dropped]


def _claims_origin(key: bytes) -> bool:
    return key.startswith(b"x-forwarded-") or key == b"forwarded"


def _imitates(key: bytes) -> bool:
    """CGI-style backends read `-` and `_` alike, so X_Forwarded_For would pass for the real one."""
    dashed = key.replace(b"_", b"-")
    return dashed in _DROPPED or dashed in _FRAMING or _claims_origin(dashed)


def _forwarded(head: RequestHead, hop: Hop) -> bytes:
    first = head.fields.first
    via = _joined(head, b"via", VIA)
    if not hop.trusted:
        return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\nvia: %b\r\n" % (
            hop.peer,
            hop.scheme,
            head.host,
            via,
        )
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\nvia: %b\r\n" % (
        _joined(head, b"x-forwarded-for", hop.peer),
        first.get(b"x-forwarded-proto", hop.scheme),
        first.get(b"x-forwarded-host", head.host),
        via,
    )


def _joined(head: RequestHead, name: bytes, last: bytes) -> bytes:
    if name not in head.fields.first:
        return last
    values = [value for key, value in head.fields.pairs if key.lower() == name and value]
    return b", ".join([*values, last])
