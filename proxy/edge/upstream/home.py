"""A pool as its parts see it: its connections, its dialler, its health checks, its slow clients."""

from __future__ import annotations

import asyncio

from proxy.core.settings import Backend
from proxy.edge.ports import Waiter
from proxy.edge.upstream.address import Address, Pooled
from proxy.edge.upstream.stalled import Stalled
from proxy.edge.upstream.waiting import Waiting


class Home:
    """What all of them share; the pool alone decides who is served."""

    __slots__ = ("addresses", "backend", "connections", "loop", "stalled", "tunnels", "waiting")

    def __init__(self, backend: Backend, loop: asyncio.AbstractEventLoop) -> None:
        self.backend = backend
        self.loop = loop
        whose = backend.name if len(backend.upstreams) > 1 else ""
        self.addresses = [Address(upstream, whose) for upstream in backend.upstreams]
        self.connections = 0  # open or being opened, without tunnels
        self.tunnels = 0
        self.stalled = Stalled(loop)
        self.waiting = Waiting()

    def has_tunnel(self) -> bool:
        """Whether there is room for another."""
        return self.tunnels < self.backend.tunnels

    def last_heard(self) -> float:
        """When something came that showed that one of its addresses goes on with its work."""
        return max(address.last_heard() for address in self.addresses)

    # from a connection

    def release(self, connection: Pooled) -> None:
        """A complete exchange leaves `connection` reusable."""
        raise NotImplementedError

    def forget(self, connection: Pooled) -> None:
        """`connection` is closed, from whatever state."""
        raise NotImplementedError

    def switch(self, connection: Pooled) -> None:
        """`connection` is a tunnel from now on."""
        raise NotImplementedError

    # from a health check, the dialler, and who looks at slow clients

    def open(self, address: Address, waiter: Waiter) -> None:
        """A new connection to `address` for `waiter`, whatever the limit."""
        raise NotImplementedError

    def move(self, address: Address, hosts: tuple[str, ...]) -> None:
        """The upstream's name has other addresses."""
        raise NotImplementedError

    def serve_uploads(self) -> None:
        """Uploads were held back, and may begin from now on."""
        raise NotImplementedError
