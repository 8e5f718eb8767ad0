"""Response heads: what cannot be relayed with one meaning is refused (RFC 9112 section 6.3)."""

from __future__ import annotations

from typing import Final

from proxy.core.http1 import patterns, scan
from proxy.core.http1.grammar import FieldBlock, Malformed, connection_options
from proxy.core.http1.known_fields import KnownFields

# Fields that mean something to a proxy: those of the connection, of framing, and what it writes itself.
_WANTED: Final = KnownFields(
    (
        *(b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding"),
        *(b"upgrade", b"x-served-by"),
    )
)

_KEEP_ALIVE: Final = (b"keep-alive",)

UNTIL_CLOSE: Final = -1
MAX_KEPT: Final = 16 * 1024  # bytes of an error that is passed on as a whole only
CHUNKED: Final = -2


class ResponseHead(FieldBlock):
    """One parsed response head.

    `length` is the body's length in bytes, or CHUNKED, or UNTIL_CLOSE; 0 where there can be no body.
    `special` holds the lower-case names present that a proxy acts on or must not pass on.
    """

    __slots__ = ("connection", "keep_alive", "length", "line", "status")

    def __init__(self, status: int, line: bytes, raw: bytes) -> None:
        super().__init__(raw, _WANTED)
        self.status = status
        self.line = line  # "200 OK"
        self.length = 0
        self.keep_alive = True
        self.connection: tuple[bytes, ...] = ()  # tokens of Connection


def parse_response(head: bytes, method: str, limit: int = 256) -> ResponseHead:
    """A whole head, up to and including its empty line, that answers a `method` request.

    Raises Malformed: the upstream, not the client, is at fault.
    """
    if scan.COMPILED:
        minor, status, end = scan.status_line(head)
    else:
        minor, status, end = patterns.status_line(head)
    if status < 0 or end + 4 > len(head):
        raise Malformed(502, "bad_status_line", "there is no valid status line")
    line = head[9:end] if end > 12 else head[9:end] + b" "  # the blank stays when there is no reason
    response = ResponseHead(status, line, head[end + 2 : -2])
    if response.lines > limit:
        raise Malformed(502, "too_many_headers", f"there are more than {limit} header lines")
    special = response.special
    response.keep_alive = minor == 1
    if response.repeated:
        _check_repeated(response)
    if b"connection" in special:
        named = response.connection = _connection(response, special[b"connection"])
        response.keep_alive = b"close" not in named and (minor == 1 or b"keep-alive" in named)
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    response.length = _length(length, coding, method, status)
    if response.length == UNTIL_CLOSE or (coding is not None and not minor):
        response.keep_alive = False  # HTTP/1.0 has no chunks: its framing is suspect (RFC 9112 section 6.1)
    return response


def _connection(response: ResponseHead, value: bytes) -> tuple[bytes, ...]:
    if response.repeated:
        return response.connection_tokens(502)
    return _KEEP_ALIVE if value == b"keep-alive" else connection_options(value, 502)


def _check_repeated(response: ResponseHead) -> None:
    for name in (b"content-length", b"transfer-encoding"):
        if len(response.values(name)) > 1:
            raise Malformed(502, "bad_framing", f"{name.decode('ascii')} is repeated")


def _length(length: bytes | None, coding: bytes | None, method: str, status: int) -> int:
    size = UNTIL_CLOSE
    if length is not None:
        size = scan.number(length) if scan.COMPILED else patterns.number(length)
        if size < 0:
            raise Malformed(502, "bad_framing", "Content-Length is not a plain number")
    if coding is not None and (length is not None or coding.rstrip(b" \t") != b"chunked"):
        raise Malformed(502, "bad_framing", "Transfer-Encoding is not chunked alone")
    if method == "HEAD" or status < 200 or status == 204 or status == 304:
        return 0
    if coding is not None:
        return CHUNKED
    return size


def is_kept(response: ResponseHead) -> bool:
    """Whether an answer is passed on as a whole only: an error is, for it may be a backend's last words."""
    return response.status >= 500 and 0 < response.length <= MAX_KEPT
