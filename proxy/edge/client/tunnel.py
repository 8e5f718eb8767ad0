"""After `101 Switching Protocols`: passes bytes in both directions unchanged (RFC 9110 section 7.8).

Each side is paused while the other does not accept what was sent. When one side closes, the other is
closed once it has received everything. If both are silent for the backend's `timeouts.idle`, the tunnel
ends.
"""

from __future__ import annotations

import asyncio
from typing import cast

from proxy.edge.deadlines import Timed
from proxy.edge.ports import UpstreamPort
from proxy.edge.services import Services

BUFFER = 64 * 1024


class Tunnel(Timed):
    """Takes over both transports. Counts as a client connection, so that draining waits for it."""

    __slots__ = ("_client", "_ended", "_half_closed", "_idle", "_services", "_upstream")

    def __init__(self, services: Services, client: asyncio.Transport, upstream: UpstreamPort) -> None:
        self._services = services
        self._client = client
        self._ended = 0  # sides that are gone
        self._half_closed = False
        self._upstream = upstream
        self._idle = upstream.silence()
        self.deadline = services.loop.time() + self._idle
        services.clients.items.add(self)
        for transport, other in ((client, upstream.transport), (upstream.transport, client)):
            transport.set_write_buffer_limits(high=BUFFER)
            transport.set_protocol(cast(asyncio.Protocol, _End(self, other)))
            transport.resume_reading()

    def touch(self) -> None:
        self.deadline = self._services.loop.time() + self._idle

    def on_deadline(self, now: float) -> None:
        """Silence, or a side that does not take what is left for it: both end at once."""
        self._services.counters.count_error("proxy", "tunnel_idle")
        self._client.abort()
        self._upstream.close()
        self._upstream.transport.abort()

    def half_close(self, other: asyncio.Transport) -> bool:
        """One side has said all; False if that was the second one."""
        if self._half_closed or not other.can_write_eof() or other.is_closing():
            return False
        self._half_closed = True
        other.write_eof()
        return True

    def on_end(self) -> None:
        """One side is gone. The other gets what is still buffered for it, within the idle timeout."""
        self._ended += 1
        if self._ended == 1:
            self.touch()
            self._client.close()
            self._upstream.close()
        else:
            self._services.clients.items.discard(self)


class _End:
    """One side, an asyncio protocol by its methods: what it says goes to `other`."""

    __slots__ = ("_other", "_tunnel")

    def __init__(self, tunnel: Tunnel, other: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._tunnel.touch()
        self._other.write(data)

    def eof_received(self) -> bool:
        """A half-closed side may still be answered; the transport stays open for that if we return True."""
        return self._tunnel.half_close(self._other)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.on_end()

    def pause_writing(self) -> None:
        """This side does not take more: the other is not read meanwhile."""
        self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()
