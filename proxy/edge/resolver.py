"""Host names of upstreams to addresses, remembered for a few seconds.

A backend that closes after every response (gunicorn's sync workers do) would otherwise cost a lookup per
request. A failed lookup answers with the last good address: DNS hiccups are not outages.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from typing import Final

TTL: Final = 5.0


class Resolver:
    """Raises OSError (socket.gaierror) for a name that has never been resolved."""

    __slots__ = ("_known", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The host's addresses (at least one) in random order."""
        until, addresses = self._known.get(host, (0.0, []))
        if self._loop.time() >= until:
            addresses = await self._look_up(host, addresses)
            self._known[host] = (self._loop.time() + TTL, addresses)
        return addresses if len(addresses) == 1 else random.sample(addresses, len(addresses))

    async def _look_up(self, host: str, last: list[str]) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            if not last:
                raise
            return last
        return sorted({str(entry[4][0]) for entry in found})
