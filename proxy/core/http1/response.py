"""Response heads: what can not be relayed with one meaning is refused (RFC 9112 section 6.3)."""

from __future__ import annotations

import re
from typing import Final

from proxy.core.http1.grammar import DIGITS, VALUE, Malformed, Pairs, explain_fields, split_fields, tokens

_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + VALUE + rb"))?")
_SINGLE: Final = frozenset({b"content-length", b"transfer-encoding"})

UNTIL_CLOSE: Final = -1
CHUNKED: Final = -2


class ResponseHead:
    """One parsed response head.

    `length` is the body's length in bytes, or CHUNKED, or UNTIL_CLOSE; 0 where there can be no body.
    `special` holds the lower-case names present that a proxy acts on or must not pass on.
    """

    __slots__ = ("block", "keep_alive", "length", "line", "pairs", "special", "status")

    def __init__(self, status: int, line: bytes, block: bytes, pairs: Pairs) -> None:
        self.status = status
        self.line = line  # "200 OK"
        self.block = block
        self.pairs = pairs
        self.length = 0
        self.keep_alive = True
        self.special: frozenset[bytes] = frozenset()


SPECIAL: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-served-by",
    }
)


def parse_response(head: bytes, method: str, limit: int = 256) -> ResponseHead:
    """A whole head, up to and including its empty line, that answers a `method` request.

    Raises Malformed with status 502: the upstream, not the client, is at fault.
    """
    end = head.find(b"\r\n")
    line = _LINE.fullmatch(head, 0, end)
    if line is None:
        raise Malformed(502, "bad_status_line", "the upstream's answer has no valid status line")
    minor, code, _ = line.groups()
    block = head[end + 2 : -2]
    pairs = split_fields(block)
    if pairs is None:
        raise Malformed(502, "bad_header", f"in the upstream's answer {explain_fields(block)}")
    if len(pairs) > limit:
        raise Malformed(502, "too_many_headers", f"the upstream's answer has more than {limit} header lines")
    response = ResponseHead(int(code), head[9:end], block, pairs)
    response.keep_alive = minor == b"1"
    names = {name.lower(): value for name, value in pairs}
    response.special = SPECIAL.intersection(names)
    if len(names) != len(pairs):
        _check_repeated(pairs)
    if b"connection" in names:
        named = [token for name, value in pairs if name.lower() == b"connection" for token in tokens(value)]
        response.keep_alive = b"close" not in named and (minor == b"1" or b"keep-alive" in named)
    response.length = _length(names, response.status, method)
    if response.length == UNTIL_CLOSE:
        response.keep_alive = False
    return response


def _check_repeated(pairs: Pairs) -> None:
    names = [key for name, _ in pairs if (key := name.lower()) in _SINGLE]
    if len(names) != len(set(names)):
        raise Malformed(502, "bad_framing", "the upstream's answer repeats a framing header")


def _length(names: dict[bytes, bytes], status: int, method: str) -> int:
    coding = names.get(b"transfer-encoding")
    length = names.get(b"content-length")
    if length is not None and DIGITS.fullmatch(length) is None:
        raise Malformed(502, "bad_framing", "the upstream's Content-Length is not a plain number")
    if coding is not None and (length is not None or coding.lower() != b"chunked"):
        raise Malformed(502, "bad_framing", "the upstream's Transfer-Encoding is not chunked alone")
    if method == "HEAD" or status < 200 or status == 204 or status == 304:
        return 0
    if coding is not None:
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)
