"""Fields on which decisions depend. A client's Connection header cannot remove them, and trailers cannot
contain them.

Otherwise the proxy would act on one request and the backend on another: for example, on the key that the
proxy stored, and on none. RFC 9110 section 7.6.1 forbids such options, but a client may send them anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.core.http1.grammar import Pairs

if TYPE_CHECKING:
    from proxy.core.settings import KeySource

ALWAYS: Final = frozenset(
    {
        b"authorization",
        b"baggage",
        b"cache-control",
        b"cookie",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"origin",
        b"range",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-api-key",
        b"x-request-id",
    }
)
"""Whatever is configured."""


TWINS: Final = b"_"
"""Among the names of `protected`: fields whose names pass for another's in CGI are kept."""

# What CGI (RFC 3875 section 4.1) and servers of its kind tell an application about a request.
_CGI: Final = frozenset(
    {
        *(b"auth_type", b"auth_user", b"content_length", b"content_type", b"document_root"),
        *(b"gateway_interface", b"path_info", b"path_translated", b"query_string", b"raw_uri"),
        *(b"request_method", b"request_scheme", b"request_uri", b"script_filename", b"script_name"),
        b"url_scheme",
    }
)


def protected(
    header: bytes, sources: Iterable[KeySource], others: Iterable[str], *, twins: bool = False
) -> frozenset[bytes]:
    """ALWAYS, the idempotency header, the headers among the key sources, and `others`; in lower case.

    `twins`: fields that `is_twin` finds are kept.
    """
    names = [source.name for source in sources if source.kind == "header"]
    more = {TWINS} if twins else set()
    return ALWAYS | more | {header, *(name.lower().encode("latin-1") for name in (*names, *others))}


def is_twin(name: bytes, names: frozenset[bytes]) -> bool:
    """Whether CGI-like backends take this name, which has an underscore, for that of a field that they trust.

    They read `-` and `_` alike, so `x_user_id` is X-User-Id to them. By custom, what one trusts begins with
    `x-`; the rest is known. One that is itself among `names` is as it was meant.
    """
    if name in names:
        return False
    twin = name.replace(b"_", b"-")
    if twin.startswith((b"x-", b"remote-", b"server-", b"ssl-")):
        return True
    return is_protected(twin, names) or twin.replace(b"-", b"_") in _CGI


def is_protected(name: bytes, names: frozenset[bytes]) -> bool:
    """`name` in lower case; `names` from `protected`."""
    return name in names or name.startswith((b"content-", b"if-", b"x-forwarded-"))


def unprotected(trailers: Pairs, names: frozenset[bytes]) -> Pairs:
    """The trailers of a request that may be passed on."""
    return [pair for pair in trailers if not is_protected(pair[0].lower(), names)]
