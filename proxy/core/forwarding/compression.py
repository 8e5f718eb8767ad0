"""Which content-coding an answer gets on its way to the client, and what that does to its head.

RFC 9110 sections 8.4, 8.8.3 and 12.5.3. An answer is left as it is where a coding would change its meaning or
was already chosen: ranges, digests of the content, `no-transform`, an existing Content-Encoding.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.core.http1.grammar import split_list
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import CHUNKED, ResponseHead
from proxy.core.settings import Coding, Compression

_is_weight: Final = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?").fullmatch  # RFC 9110 section 12.4.2

_ALIASES: Final = {b"x-gzip": b"gzip"}  # RFC 9110 section 8.4.1.3
_BODILESS: Final = frozenset({204, 205, 206, 304})
_FIXED: Final = (
    b"content-encoding",
    b"content-range",
    b"content-digest",
    b"repr-digest",
    b"digest",
    b"content-md5",
)
# A range of one coding would be stitched to a part of another.
_DROPPED: Final = (b"accept-ranges", b"content-length", b"etag")
_EVENTS: Final = b"text/event-stream"

MAX_ACCEPTED: Final = 1024  # bytes of Accept-Encoding that are read; with more, nothing is encoded
MAX_TYPE: Final = 255  # bytes of a media type (RFC 6838 section 4.2)

VARY: Final = b"Vary: Accept-Encoding\r\n"


class Plan(NamedTuple):
    """`coding` None: the body stays as it is, but with another Accept-Encoding it would not have."""

    coding: Coding | None
    flush: bool  # every piece is to reach the client at once: the backend decides when it sends the next


def plan(settings: Compression, request: RequestHead, response: ResponseHead, size: int) -> Plan | None:
    """What becomes of this answer; None: nothing at all.

    `size` of the body in bytes, negative if it is not known yet.
    """
    if response.status < 200 or response.status in _BODILESS or any(name in response for name in _FIXED):
        return None
    media_type = (response.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if (
        len(media_type) > MAX_TYPE
        or not _listed(media_type, settings.types)
        or 0 <= size < settings.min_bytes
    ):
        return None
    if b"no-transform" in _tokens(response, b"cache-control"):
        return None
    accepted = b",".join(request.fields.values(b"accept-encoding"))
    coding = negotiate(accepted, settings.codings) if 0 < len(accepted) <= MAX_ACCEPTED else None
    return Plan(coding, response.length < 0)


@lru_cache(maxsize=256)  # browsers and libraries send a few dozen in all
def negotiate(accepted: bytes, codings: tuple[Coding, ...]) -> Coding | None:
    """The coding that the client likes best, ours in order where it likes several alike; None: identity.

    `accepted` is the value of Accept-Encoding. Members without a valid weight are passed over.
    """
    weights: dict[bytes, float] = {}
    for member in split_list(accepted):
        name, _, parameter = member.partition(b";")
        weight = _weight(parameter)
        if weight is not None:
            name = name.strip(b" \t")
            weights[_ALIASES.get(name, name)] = weight
    others = weights.get(b"*", 0.0)
    liked = [(weights.get(coding.encode("ascii"), others), -rank) for rank, coding in enumerate(codings)]
    best, rank = max(liked, default=(0.0, 0))
    return codings[-rank] if best > 0 and best >= weights.get(b"identity", 0.0) else None


def coded_head(response: ResponseHead, coding: Coding, length: int | None) -> ResponseHead:
    """The head of the answer in this coding; `length` of its body in bytes if it is known.

    A strong validator names bytes that the client does not get, so it becomes a weak one.
    """
    return _with_lines(
        response, _coded_lines(response, coding, length), CHUNKED if length is None else length
    )


def coded_head_alone(response: ResponseHead, coding: Coding) -> ResponseHead:
    """The answer to HEAD: what GET would be told, but for a length that only coding the body can tell
    (RFC 9110 sections 8.6 and 9.3.2)."""
    return _with_lines(response, _coded_lines(response, coding, None), response.length)


def _coded_lines(response: ResponseHead, coding: Coding, length: int | None) -> bytes:
    lines = response.without(_DROPPED) + b"Content-Encoding: %b\r\n" % coding.encode("ascii")
    etag = response.get(b"etag")
    if etag is not None:
        lines += b"ETag: %b\r\n" % weak(etag)
    if length is not None:
        lines += b"Content-Length: %d\r\n" % length
    return lines


def varied_head(response: ResponseHead) -> ResponseHead:
    """The same, saying that it depends on Accept-Encoding."""
    vary = _tokens(response, b"vary")
    if b"*" in vary or b"accept-encoding" in vary:
        return response
    return _with_lines(response, response.raw + VARY, response.length)


def not_modified_head(request: RequestHead, response: ResponseHead) -> ResponseHead:
    """A 304 has the validator that the client's stored answer has (RFC 9110 section 15.4.5)."""
    etag = response.get(b"etag")
    if etag is None or etag.startswith(b"W/"):
        return response
    if weak(etag) not in b",".join(request.fields.values(b"if-none-match")):
        return response
    return _with_lines(response, response.without((b"etag",)) + b"ETag: %b\r\n" % weak(etag), response.length)


def weak(etag: bytes) -> bytes:
    return etag if etag.startswith(b"W/") else b"W/" + etag


def _weight(parameter: bytes) -> float | None:
    name, _, value = parameter.partition(b"=")
    if not parameter.strip(b" \t"):
        return 1.0
    if name.strip(b" \t") != b"q" or _is_weight(value.strip(b" \t")) is None:
        return None
    return float(value)


@lru_cache(maxsize=256)
def _listed(media_type: bytes, types: tuple[str, ...]) -> bool:
    """Whether one of `types` covers it: `text/html`, `text/*`, `*+json`. Events only if they are named."""
    name = media_type.decode("latin-1")
    if name in types:
        return True
    if media_type == _EVENTS:
        return False
    return any(
        (each.endswith("/*") and name.startswith(each[:-1]))
        or (each.startswith("*+") and name.endswith(each[1:]))
        for each in types
    )


def _tokens(response: ResponseHead, name: bytes) -> tuple[bytes, ...]:
    values = response.values(name)
    return split_list(b",".join(values)) if values else ()


def _with_lines(response: ResponseHead, lines: bytes, length: int) -> ResponseHead:
    changed = ResponseHead(response.status, response.line, lines)
    changed.length = length
    changed.keep_alive = response.keep_alive
    changed.connection = response.connection
    return changed
