"""The body of a request, in whichever of the two framings it comes."""

from __future__ import annotations

from typing import Final

from proxy.core.http1.chunked import ChunkedDecoder
from proxy.core.http1.grammar import Malformed, Pairs
from proxy.core.http1.names import SHADOW

_SMALL: Final = 4096  # bytes

_OURS: Final = frozenset(
    {
        *(b"http2-settings", b"x-backend", b"x-backend-token", b"x-request-id", b"x-served-by", SHADOW),
    }
)


class BodyReader:
    """Fed with what follows the head.

    After `done`, `rest` holds what came behind the body, and `trailers` those that may be passed on: none
    that means something to a proxy, as nobody looks at it here (RFC 9110 section 6.5.1).
    """

    __slots__ = ("_decoder", "_left", "_limit", "_received", "done", "rest", "trailers")

    def __init__(self, length: int, chunked: bool, limit: int) -> None:
        """`length` in bytes, if not chunked; `limit` on what may come decoded, 0 for none."""
        self._decoder = ChunkedDecoder() if chunked else None
        self._left = length
        self._limit = limit
        self._received = 0
        self.done = False
        self.rest = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`, decoded. Raises Malformed with status 400 or 413."""
        decoder = self._decoder
        if decoder is None:
            piece = data[: self._left]
            self._left -= len(piece)
            self.done = self._left == 0
            self.rest = data[len(piece) :]
            return piece
        piece = decoder.feed(data)
        self._received += len(piece)
        if 0 < self._limit < self._received:
            raise Malformed(413, "body_too_large", f"the body is larger than {self._limit} bytes")
        self.done = decoder.done
        self.rest = decoder.rest
        if decoder.trailers:
            self.trailers = [pair for pair in decoder.trailers if _may_pass(pair[0].lower())]
        return piece


def hold(pieces: list[bytes], data: bytes) -> None:
    """Adds `data`. Small pieces become one: held by themselves, each costs more than the bytes in it."""
    if pieces and len(data) < _SMALL and len(pieces[-1]) < _SMALL:
        pieces[-1] += data
    else:
        pieces.append(data)


def _may_pass(name: bytes) -> bool:
    """Stricter than for answers: backends believe what a proxy says of its clients."""
    return not (b"_" in name or name.startswith((b"if-", b"x-forwarded-")) or name in _OURS)
