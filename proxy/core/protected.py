"""Fields that decide. A client's Connection header cannot name them away, and its trailers cannot carry them.

If it could, the proxy would act on one request and the backend on another: on the key that the proxy stored,
say, and on none. RFC 9110 section 7.6.1 forbids such options, but a client may send them all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.snapshot import KeySource

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


def protected(header: bytes, sources: Iterable[KeySource], others: Iterable[str]) -> frozenset[bytes]:
    """ALWAYS, the idempotency header, the headers among the key sources, and `others`; in lower case."""
    names = [source.name for source in sources if source.kind == "header"]
    return ALWAYS | {header, *(name.lower().encode("latin-1") for name in (*names, *others))}


def is_protected(name: bytes, names: frozenset[bytes]) -> bool:
    """`name` in lower case; `names` from `protected`."""
    return name in names or name.startswith((b"content-", b"if-", b"x-forwarded-"))
