"""The transport's side of a client connection: writing, pausing, and the ways to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from proxy.edge.deadlines import NEVER

if TYPE_CHECKING:
    from proxy.edge.services import Services

# Seconds and bytes in which a client may still send what will be thrown away (RFC 9112 section 9.6).
# Not Final: tests shorten them, also where this is compiled.
LINGER = 2.0
LINGER_BYTES = 1024 * 1024
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: closing sends RST, not FIN


class Connection:
    """Knows nothing of requests."""

    __slots__ = (
        "_discarding",
        "_paused",
        "_stalled",
        "_writable",
        "closed",
        "deadline",
        "services",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, services: Services) -> None:
        self.services = services
        self.closed = False
        self.deadline = NEVER
        self._discarding = -1  # bytes still thrown away while lingering; -1: not lingering
        self._paused = False
        self._writable = True
        self._stalled = 0  # bytes unsent when the client was last looked at

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.transport.write(data)

    def abort(self) -> None:
        """End with a reset, so that nobody takes what was sent for the whole."""
        if not self.closed:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _on_unsent(self, now: float) -> None:
        """A deadline has passed while the client has not taken all that was written."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._stalled:  # slow, but it reads
            self._stalled = unsent
            self.deadline = now + self.services.snapshot.server.timeouts.body
        else:
            self.services.count_error("client", "slow_reader")
            self.abort()

    def _close(self) -> None:
        """Close when all is sent, for which the client has as long as for any other answer."""
        self._stalled = 0
        self.deadline = self.services.loop.time() + self.services.snapshot.server.timeouts.body
        self.transport.close()

    def _linger(self) -> None:
        """Close so that the answer survives: a close with unread bytes would reset the connection."""
        if self.transport.is_closing():
            return
        self._discarding = LINGER_BYTES
        self.deadline = self.services.loop.time() + LINGER
        self._resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarding = max(0, self._discarding - size)
        if self._discarding == 0:
            self._close()

    def _ended(self) -> bool:
        return self.closed or self._discarding >= 0 or self.transport.is_closing()

    def _pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self.transport.resume_reading()
