"""Makes new connections to an upstream, trying all addresses of a name.

Nothing has been sent while a connection is being made, so this is safe for writes, too. The first address
gets a head start. If it does not respond in that time, the next one is tried in parallel, and the first to
connect is used (RFC 8305). An address that refused or was slower is tried last for a while.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

from proxy.edge.upstream.address import Address
from proxy.edge.upstream.connection import UpstreamConnection
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.resolver import TTL, Resolver

HEAD_START: Final = 0.25  # seconds, as RFC 8305 section 5 recommends; less where `timeouts.connect` is short
DOUBTED: Final = 30.0  # seconds

Factory = Callable[[], asyncio.Protocol]


class Dialler:
    """Of one pool. While that has connections, its names are looked up again and changes are followed."""

    __slots__ = ("_doubted", "_following", "_loop", "_pool", "_resolver")

    def __init__(self, pool: Home) -> None:
        self._pool = pool
        self._loop = pool.loop
        self._resolver = Resolver(pool.loop, self._changed)
        self._doubted: dict[tuple[str, int], float] = {}  # addresses that are tried last, and until when
        self._following = False

    async def dial(self, address: Address, factory: Factory) -> UpstreamConnection:
        """Raises OSError if none of the upstream's addresses can be reached."""
        upstream = address.upstream
        if upstream.scheme == "unix":
            _, protocol = await self._loop.create_unix_connection(factory, upstream.path)
            return cast(UpstreamConnection, protocol)
        hosts = await self._resolver.resolve(upstream.host)
        address.hosts = hosts
        if len(hosts) == 1:
            host = hosts[0]
            _, made = await self._loop.create_connection(
                factory, host, upstream.port, ssl=address.tls, server_hostname=_server_name(address)
            )
            connection = cast(UpstreamConnection, made)
        else:
            host, connection = await self._first_of(hosts, address, factory)
        connection.host = host
        connection.hosts = hosts
        if host != upstream.host and not self._following:
            self._following = True
            self._loop.call_later(TTL, self._follow)
        return connection

    def _follow(self) -> None:
        self._following = self._pool.connections > 0
        if self._following:
            self._resolver.renew()
            self._loop.call_later(TTL, self._follow)

    def _changed(self, host: str, hosts: tuple[str, ...]) -> None:
        for address in self._pool.addresses:
            if address.upstream.host == host:
                self._pool.move(address, hosts)

    async def _first_of(
        self, hosts: tuple[str, ...], address: Address, factory: Factory
    ) -> tuple[str, UpstreamConnection]:
        port = address.upstream.port
        left = address.in_order(self._in_order(hosts, port), self._loop.time())
        while True:
            host, sock = await self._race(left, port)
            share = self._pool.backend.timeouts.connect / len(left)
            try:
                _, protocol = await self._loop.create_connection(
                    factory,
                    sock=sock,
                    ssl=address.tls,
                    server_hostname=_server_name(address),
                    ssl_handshake_timeout=None if address.tls is None else share,
                )
            except OSError:
                self._doubt(host, port)
                left.remove(host)
                if not left:
                    raise
            else:
                self._doubted.pop((host, port), None)
                return host, cast(UpstreamConnection, protocol)

    def _in_order(self, hosts: tuple[str, ...], port: int) -> list[str]:
        """At random, so that load is spread; those in doubt last."""
        now = self._loop.time()
        self._doubted = {key: until for key, until in self._doubted.items() if until > now}
        order = random.sample(hosts, len(hosts))
        return sorted(order, key=lambda host: (host, port) in self._doubted)

    def _doubt(self, host: str, port: int) -> None:
        self._doubted[host, port] = self._loop.time() + DOUBTED

    async def _race(self, hosts: list[str], port: int) -> tuple[str, socket.socket]:
        """The first of `hosts` to be connected. Those that fail leave the list."""
        head_start = min(HEAD_START, self._pool.backend.timeouts.connect / (2 * len(hosts)))
        waiting = list(hosts)
        running: dict[asyncio.Task[socket.socket], str] = {}
        problem: BaseException = OSError("there is no address")
        try:
            while waiting or running:
                if waiting:
                    host = waiting.pop(0)
                    running[self._loop.create_task(self._connect(host, port))] = host
                done, _ = await asyncio.wait(
                    running, timeout=head_start if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    host = running[task]
                    failure = task.exception()
                    del running[task]
                    if failure is None:
                        for slower in running.values():
                            self._doubt(slower, port)
                        return host, task.result()
                    problem = failure
                    self._doubt(host, port)
                    hosts.remove(host)
            raise problem
        finally:
            for task in running:
                task.add_done_callback(_close)
                task.cancel()

    async def _connect(self, host: str, port: int) -> socket.socket:
        numeric = socket.AI_NUMERICHOST  # only reads the address, so it does not block
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=numeric
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(sock, place)
        except BaseException:
            sock.close()
            raise
        return sock


def _server_name(address: Address) -> str | None:
    tls: ssl.SSLContext | None = address.tls
    return None if tls is None else address.upstream.host


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Of the slower ones: it may have been connected before it could be told to stop."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
