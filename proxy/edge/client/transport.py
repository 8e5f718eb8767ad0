"""The transport's side of a client connection: writing, pausing, and the ways to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from proxy.edge import turns
from proxy.edge.client.states import CLOSED, HEAD, IDLE, LINGERING, STATES, TRANSITIONS
from proxy.edge.deadlines import NEVER
from proxy.edge.ports import ClientPort
from proxy.edge.services import Services

# Seconds over which `limits.min_rate` is judged. Not Final: tests shorten it, also where this is compiled.
RATE_WINDOW = 10.0
# Seconds and bytes in which a client may still send what will be thrown away (RFC 9112 section 9.6).
# Not Final: tests shorten them, also where this is compiled.
LINGER = 2.0
LINGER_BYTES = 1024 * 1024
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: closing sends RST, not FIN


class Connection(ClientPort):
    """Knows nothing of requests but in which state their connection is."""

    __slots__ = (
        "_discards",
        "_looked_at",
        "_moved",
        "_paused",
        "_stalled",
        "_writable",
        "peer",
        "services",
        "state",
        "transport",
        "written",
    )

    transport: asyncio.Transport

    def __init__(self, services: Services, peer: str) -> None:
        self.services = services
        self.peer = peer  # the client's numeric address
        self.state = IDLE
        self.deadline = NEVER
        self._discards = 0  # bytes that are still thrown away while lingering
        self._paused = False
        self._writable = True
        self._stalled = 0  # bytes unsent when the client was last looked at
        self._looked_at = 0.0
        self._moved = 0  # bytes of a body that came since then
        self.written = 0  # bytes of answers, sent or not

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.peer or 'nobody'}: {STATES[self.state]}>"

    def turn(self, state: int) -> None:
        """The one place where the state changes."""
        if self.services.debug:
            turns.tell(self, STATES, TRANSITIONS, self.state, state)
        self.state = state

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self.state == CLOSED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        services = self.services
        self.transport.set_write_buffer_limits(high=services.snapshot.buffers.response)
        timeouts = services.snapshot.server.timeouts
        self.deadline = services.loop.time() + min(timeouts.header, timeouts.keep_alive)
        services.clients.items.add(self)
        services.crowd.entered(self)

    def leave(self) -> None:
        """It counts no more, whether its transport is gone already or about to be."""
        self.services.clients.items.discard(self)
        self.services.crowd.left(self)

    def idle_since(self) -> float:
        if self.state > HEAD or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return NEVER
        return self.deadline - self.services.snapshot.server.timeouts.keep_alive

    def make_room(self) -> None:
        self.services.counters.count_error("client", "made_room")
        self.leave()
        self.transport.abort()

    def write(self, data: bytes) -> None:
        """A part of an answer."""
        if self.state != CLOSED:
            self.written += len(data)
            self.transport.write(data)

    def is_writable(self) -> bool:
        return self._writable

    def abort(self) -> None:
        if self.state != CLOSED:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _time_unsent(self) -> None:
        """From now on the client is timed for taking what is written."""
        self._stalled = self.transport.get_write_buffer_size()
        self._begin_window(self.services.loop.time())

    def _on_unsent(self, now: float) -> None:
        """A deadline has passed while the client has not taken all that was written."""
        taken = self._stalled - self.transport.get_write_buffer_size()
        if taken and not self._too_slow(taken, now):
            self._time_unsent()
        else:
            self.services.counters.count_error("client", "slow_reader")
            self.abort()

    def _too_slow(self, moved: int, now: float) -> bool:
        """Whether `moved` bytes since the window began are less than `limits.min_rate` asks for."""
        rate = self.services.snapshot.server.limits.min_rate
        return rate > 0 and moved < rate * (now - self._looked_at)

    def _slow_body(self, now: float) -> tuple[str, str] | None:
        """Kind and detail, if no more of the body has come in time, or too little in a window of
        `limits.min_rate`.
        """
        server = self.services.snapshot.server
        if self._moved and not self._too_slow(self._moved, now):
            self._begin_window(now)
            return None
        if self._moved:
            rate = server.limits.min_rate
            return "body_too_slow", f"the body arrived at less than {rate} bytes per second"
        waited = min(server.timeouts.body, now - self._looked_at)
        return "body_timeout", f"no body data arrived for {waited:.3g} s"

    def _begin_window(self, now: float) -> None:
        server = self.services.snapshot.server
        self._looked_at = now
        self._moved = 0
        self.deadline = now + server.timeouts.body
        if server.limits.min_rate:
            self.deadline = min(self.deadline, now + RATE_WINDOW)

    def _time_body(self, size: int) -> None:
        """Some of the body came: more has to come within `timeouts.body`, and enough in each window."""
        server = self.services.snapshot.server
        if not server.limits.min_rate:
            self.deadline = self.services.loop.time() + server.timeouts.body
            return
        self._moved += size
        self.deadline = min(self.services.loop.time() + server.timeouts.body, self._looked_at + RATE_WINDOW)

    def _close(self) -> None:
        """Close when all is sent, for which the client has as long as for any other answer."""
        self._time_unsent()
        self.transport.close()

    def _linger(self) -> None:
        """Close so that the answer survives: a close with unread bytes would reset the connection."""
        if self.transport.is_closing():
            return
        if self.state != LINGERING:
            self.turn(LINGERING)
        self._discards = LINGER_BYTES
        self.deadline = self.services.loop.time() + LINGER
        self._resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discards = max(0, self._discards - size)
        if self._discards == 0:
            self._close()

    def _ended(self) -> bool:
        return self.state >= LINGERING or self.transport.is_closing()

    def _pause(self) -> None:
        if not self._paused and self.state != CLOSED:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self.state != CLOSED:
            self._paused = False
            self.transport.resume_reading()

    def _idle_deadline(self) -> float:
        return self.services.loop.time() + self.services.snapshot.server.timeouts.keep_alive
