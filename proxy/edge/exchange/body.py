"""A request's body on its way to a backend: held until an attempt sends it, then passed on as it comes."""

from __future__ import annotations

from proxy.core.http1.body import hold
from proxy.core.http1.chunked import encode
from proxy.core.http1.grammar import Pairs


class RequestBody:
    """A request without a body has none. `streamed`: a part was sent, and is no longer held."""

    __slots__ = ("_chunked", "complete", "pieces", "size", "streamed", "trailers")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0  # bytes that came in before it was streamed
        self.complete = False
        self.streamed = False
        self.trailers: Pairs = []
        self._chunked = False  # as it is sent

    def hold(self, data: bytes) -> None:
        """Until it is sent."""
        if data:
            hold(self.pieces, data)
            self.size += len(data)

    def framing(self) -> bytes:
        """Of one that came in chunks: if it is here whole it goes with its length, and without trailers."""
        self._chunked = not self.complete
        return b"transfer-encoding: chunked\r\n" if self._chunked else b"content-length: %d\r\n" % self.size

    def begin(self) -> bytes:
        """What there is of it, to be sent with the head. A whole one is kept for another attempt."""
        if not self.pieces:
            return b""
        data = self.encoded(b"".join(self.pieces))
        if not self.complete:
            self.streamed = True
            self.pieces = []
        return data

    def encoded(self, data: bytes) -> bytes:
        """The next piece as it is sent."""
        return encode(data, self.complete, self.trailers) if self._chunked else data
