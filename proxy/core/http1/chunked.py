"""The chunked coding (RFC 9112 section 7.1), decoded strictly and encoded afresh.

Bodies are never relayed in the sender's own framing: extensions are dropped and every chunk gets a plain
size, so the next parser has nothing left to interpret.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.core.http1.grammar import FieldBlock, Malformed, Pairs
from proxy.core.http1.patterns import VALUE

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*+;" + VALUE + rb")?")
MAX_LINE: Final = 4096
MAX_TRAILERS: Final = 16 * 1024

LAST_CHUNK: Final = b"0\r\n\r\n"


def encode(data: bytes, complete: bool, trailers: Pairs) -> bytes:
    """`data`, which may be empty, as one chunk; if `complete`, then the last one with its trailers."""
    chunk = encode_chunk(data) if data else b""
    return chunk + encode_end(trailers) if complete else chunk


def encode_chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_end(trailers: Pairs) -> bytes:
    """The last chunk with its trailer fields."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % pair for pair in trailers]) + b"\r\n"


class ChunkedDecoder:
    """Feed it bytes as they arrive; it holds back at most one size line or the trailer section.

    After `done`, `rest` is what came behind the body and `trailers` are the fields that may be passed on.
    """

    __slots__ = ("_buffer", "_left", "_seen", "_state", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._buffer = b""
        self._seen = 0  # bytes of `_buffer` that were searched for the end of the trailers
        self._left = 0  # bytes of the current chunk still to come
        self._state = _SIZE_LINE
        self.done = False
        self.rest = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> bytes:
        """The payload contained in `data`, which may be empty. Raises Malformed with status 400."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        payload: list[bytes] = []
        position = 0
        while not self.done:
            start = position
            if self._state == _DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                payload.append(piece)
                if self._left:
                    break
                self._state = _DATA_END
            elif self._state == _DATA_END:
                position = self._data_end(data, position)
            elif self._state == _SIZE_LINE:
                position = self._size_line(data, position)
            else:
                position = self._trailer_section(data, position)
            if position == start and not self.done:
                self._buffer = data[position:]
                break
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _data_end(self, data: bytes, position: int) -> int:
        end = data[position : position + 2]
        if not b"\r\n".startswith(end):
            raise Malformed(400, "bad_chunk", "a chunk is longer than its size says")
        if len(end) < 2:
            return position
        self._state = _SIZE_LINE
        return position + 2

    def _size_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + MAX_LINE)
        if end < 0:
            if len(data) - position >= MAX_LINE:
                raise Malformed(400, "bad_chunk", f"a chunk's size line is over {MAX_LINE} bytes")
            return position
        ends_well = end > position and data[end - 1] == 0x0D  # CR
        size = _SIZE.fullmatch(data, position, end - 1) if ends_well else None
        if size is None:
            raise Malformed(400, "bad_chunk", "a chunk's size is not a plain hexadecimal number")
        self._left = int(size[1], 16)
        self._state = _DATA if self._left else _TRAILERS
        return end + 1

    def _trailer_section(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            return self._finish(data, position + 2)
        end = data.find(b"\r\n\r\n", position + max(0, self._seen - 3), position + MAX_TRAILERS)
        if end < 0:
            self._seen = len(data) - position
            if len(data) - position >= MAX_TRAILERS:
                raise Malformed(400, "bad_trailer", f"the trailers are over {MAX_TRAILERS} bytes")
            return position
        pairs = FieldBlock(data[position : end + 2]).pairs()
        self.trailers = [pair for pair in pairs if pair[0].lower() not in _NEVER_TRAILERS]
        return self._finish(data, end + 4)

    def _finish(self, data: bytes, position: int) -> int:
        self.done = True
        self.rest = data[position:]
        return position


_SIZE_LINE, _DATA, _DATA_END, _TRAILERS = range(4)

# RFC 9110 section 6.5.1: framing, routing, authentication and content fields have no place behind the body.
_NEVER_TRAILERS: Final = frozenset(
    {
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-backend",
        b"x-backend-token",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    }
)
