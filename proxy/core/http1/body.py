"""The body of a request, in whichever of the two framings it comes."""

from __future__ import annotations

from proxy.core.http1.chunked import ChunkedDecoder
from proxy.core.http1.grammar import Malformed


class BodyReader:
    """Fed with what follows the head; after `done`, `rest` holds what came behind the body."""

    __slots__ = ("_decoder", "_left", "_limit", "_received", "done", "rest")

    def __init__(self, length: int, chunked: bool, limit: int) -> None:
        """`length` in bytes, if not chunked; `limit` on what may come decoded, 0 for none."""
        self._decoder = ChunkedDecoder() if chunked else None
        self._left = length
        self._limit = limit
        self._received = 0
        self.done = False
        self.rest = b""

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
            raise Malformed(413, "body_too_large", f"the body is over {self._limit} bytes")
        self.done = decoder.done
        self.rest = decoder.rest
        return piece
