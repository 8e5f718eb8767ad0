"""Response heads: what can not be relayed with one meaning is refused (RFC 9112 section 6.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from proxy.core.http1.grammar import DIGITS, FieldBlock, Malformed, split_list
from proxy.core.http1.patterns import VALUE
from proxy.core.http1.wanted import Wanted

_is_line: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: " + VALUE + rb")?").fullmatch

# Fields that mean something to a proxy: those of the connection, of framing, and what it writes itself.
_WANTED: Final = Wanted(
    (
        *(b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding"),
        *(b"upgrade", b"x-served-by"),
    )
)

UNTIL_CLOSE: Final = -1
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
    end = head.find(b"\r\n")
    if end + 4 > len(head):
        raise Malformed(502, "bad_status_line", "the head has no end")
    minor, status = _status_line(head[:end])
    line = head[9:end] if end > 12 else head[9:end] + b" "  # the blank stays when there is no reason
    response = ResponseHead(status, line, head[end + 2 : -2])
    if response.lines > limit:
        raise Malformed(502, "too_many_headers", f"there are more than {limit} header lines")
    special = response.special
    response.keep_alive = minor == 1
    if response.repeated:
        _check_repeated(response)
    if b"connection" in special:
        named = split_list(special[b"connection"]) if not response.repeated else response.connection_tokens()
        response.connection = named
        response.keep_alive = b"close" not in named and (minor == 1 or b"keep-alive" in named)
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    response.length = _length(length, coding, method, status)
    if response.length == UNTIL_CLOSE or (coding is not None and not minor):
        response.keep_alive = False  # HTTP/1.0 has no chunks: its framing is suspect (RFC 9112 section 6.1)
    return response


@lru_cache(maxsize=512)  # a backend has few of them
def _status_line(line: bytes) -> tuple[int, int]:
    """Minor version and status."""
    found = _is_line(line)
    if found is None:
        raise Malformed(502, "bad_status_line", "there is no valid status line")
    return int(found[1]), int(found[2])


def _check_repeated(response: ResponseHead) -> None:
    for name in (b"content-length", b"transfer-encoding"):
        if len(response.values(name)) > 1:
            raise Malformed(502, "bad_framing", f"{name.decode('ascii')} is repeated")


def _length(length: bytes | None, coding: bytes | None, method: str, status: int) -> int:
    if length is not None and DIGITS.fullmatch(length.rstrip(b" \t")) is None:
        raise Malformed(502, "bad_framing", "Content-Length is not a plain number")
    if coding is not None and (length is not None or coding.rstrip(b" \t") != b"chunked"):
        raise Malformed(502, "bad_framing", "Transfer-Encoding is not chunked alone")
    if method == "HEAD" or status < 200 or status == 204 or status == 304:
        return 0
    if coding is not None:
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)
