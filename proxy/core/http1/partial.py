"""A request head that has not arrived completely."""

from __future__ import annotations

from proxy.core.http1.grammar import BARE_LF
from proxy.core.http1.request import check_partial
from proxy.core.settings import Limits


class PartialHead:
    """Each byte is looked at once or twice, in however many pieces it comes: a client that sends a byte at a
    time must not cost the square of it.
    """

    __slots__ = ("_data", "_line", "_next")

    def __init__(self, data: bytes) -> None:
        """`data` was checked by `check_partial`."""
        self._data = bytearray(data)
        self._line = b"\n" in data  # the request line is complete, and was checked as such
        self._next = 2 * len(data)  # bytes at which all of it is checked again

    def add(self, data: bytes, limits: Limits) -> bytes | None:
        """Everything so far, once the head is complete, else None. Raises Malformed like `check_partial`."""
        held = self._data
        before = len(held)
        held += data
        if held.find(b"\r\n\r\n", max(0, before - 3), limits.header_bytes) >= 0:
            return bytes(held)
        line = self._line or b"\n" in data
        suspicious = line != self._line or BARE_LF.search(held, before) is not None
        if suspicious or len(held) >= self._next or len(held) > limits.header_bytes:
            check_partial(bytes(held), limits)
            self._next = 2 * len(held)
        self._line = line
        return None
