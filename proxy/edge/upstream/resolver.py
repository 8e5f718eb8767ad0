"""Resolves host names of upstreams, and caches the addresses for a few seconds.

Lookups use c-ares, which waits on sockets instead of in threads, so a silent name server for one name does
not delay lookups of other names. Each lookup has its own channel, so /etc/hosts and /etc/resolv.conf are
read again, and no answer is kept for longer than here. A lookup outlives the request that started it, and
serves all requests for the same name.

If a lookup fails or hangs, the last known addresses stay in use: DNS problems are not outages.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import aiodns

from proxy.edge.deadlines import NEVER

TTL: Final = 5.0  # seconds; name servers are asked again then, whatever they said themselves
RETRY: Final = 1.0  # seconds between two lookups of a name while they fail
PATIENCE: Final = 0.25  # seconds that a request waits for a lookup while there are addresses to fall back on
LONGEST: Final = 15.0  # seconds of one lookup, whatever resolv.conf says
MOST: Final = 32  # addresses of one name that are used


async def look_up(host: str) -> list[str]:
    """Addresses by /etc/hosts and DNS. Raises OSError."""
    async with aiodns.DNSResolver(loop=asyncio.get_running_loop()) as resolver:
        try:
            found = await resolver.getaddrinfo(host, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise OSError(f"{host} cannot be resolved: {error.args[-1]}") from error
        return [node.addr[0].decode("ascii") for node in found.nodes]


class Name:
    """What is known about one host name."""

    __slots__ = ("addresses", "lagging", "lookup", "problem", "until")

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.until = 0.0
        self.lookup: asyncio.Task[None] | None = None
        self.lagging = False  # lookups fail or hang: nobody waits for them who can do without
        self.problem = ""


class Resolver:
    """`on_change(host, addresses)` is called when a name has other addresses than before.

    The same addresses are the same tuple as long as nothing changes.
    """

    __slots__ = ("_look_up", "_loop", "_names", "_on_change")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[str, tuple[str, ...]], None],
        look_up: Callable[[str], Awaitable[list[str]]] = look_up,
    ) -> None:
        self._loop = loop
        self._on_change = on_change
        self._look_up = look_up
        self._names: dict[str, Name] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The host's addresses, at least one. Raises OSError for a name that has never been resolved."""
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = Name()
            if (address := numeric(host)) is not None:
                name.addresses, name.until = (address,), NEVER
        lookup = self._renewed(host, name)
        if lookup is not None and not (name.addresses and name.lagging):
            await asyncio.wait({lookup}, timeout=PATIENCE if name.addresses else None)
            if not lookup.done():
                name.lagging = True
        if not name.addresses:
            raise OSError(name.problem)
        return name.addresses

    def renew(self) -> None:
        """Look up again, in the background, what is no longer fresh."""
        for host, name in self._names.items():
            self._renewed(host, name)

    def _renewed(self, host: str, name: Name) -> asyncio.Task[None] | None:
        """The lookup that is under way, if one is or has to be."""
        if name.lookup is None and self._loop.time() >= name.until:
            name.lookup = self._loop.create_task(self._renew(host, name))
        return name.lookup

    async def _renew(self, host: str, name: Name) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                found = await self._look_up(host)
            if not found:
                raise OSError(f"{host} has no address")
        except (OSError, TimeoutError, ValueError) as error:
            name.problem = str(error) or f"{host}: no name server answered within {LONGEST:g} s"
            name.lagging = True
            name.until = self._loop.time() + RETRY
        else:
            name.lagging = False
            name.until = self._loop.time() + TTL
            self._learn(host, name, found)
        finally:
            name.lookup = None

    def _learn(self, host: str, name: Name, found: list[str]) -> None:
        distinct = sorted(set(found))
        if len(distinct) > MOST:
            distinct = sorted(random.sample(distinct, MOST))
        addresses = tuple(distinct)
        if addresses != name.addresses:
            changed = bool(name.addresses)
            name.addresses = addresses
            if changed:
                self._on_change(host, addresses)


def numeric(host: str) -> str | None:
    """The address that `host` is, or None if it is a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return None
    return str(found[0][4][0])
