"""Cuts the channel's byte stream into messages: 4 bytes of length, big endian, then that many bytes."""

from __future__ import annotations

from proxy.core.wire.messages import MAX_MESSAGE

PREFIX = 4


class FrameTooLarge(ValueError):
    """The peer announced more than the limit: it does not speak our protocol."""


class FrameReader:
    """Incremental reader; holds at most `limit` bytes of one unfinished message and what follows it."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes, in order. Raises FrameTooLarge."""
        self._buffer += data
        bodies = []
        start = 0
        while len(self._buffer) - start >= PREFIX:
            size = int.from_bytes(self._buffer[start : start + PREFIX], "big")
            if size > self.limit:
                raise FrameTooLarge(
                    f"a message of {size} bytes was announced; at most {self.limit} are allowed"
                )
            end = start + PREFIX + size
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[start + PREFIX : end]))
            start = end
        del self._buffer[:start]
        return bodies
