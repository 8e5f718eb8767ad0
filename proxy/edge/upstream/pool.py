"""The connections of one worker to one backend: which upstream, which connection, and which requests wait.

Idle connections form a stack, so that the most recently used one is reused and the others expire. With
several upstreams, two are drawn at random and the one with fewer outstanding requests is used. An upstream
that fails FAILURES times in a row is not used for SIT_OUT seconds, unless this applies to all of them.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from functools import partial
from typing import Final, cast

from proxy.core.forwarding.addresses import FORGOTTEN
from proxy.core.resilience.retry import FailureKind
from proxy.core.settings import Backend
from proxy.edge.deadlines import NEVER, Sweeper
from proxy.edge.ports import NOTHING, GaveUp, Waiter
from proxy.edge.upstream import address as address_module
from proxy.edge.upstream import hanging
from proxy.edge.upstream.address import Address, Pooled
from proxy.edge.upstream.connection import UpstreamConnection
from proxy.edge.upstream.dialling import Dialler
from proxy.edge.upstream.hanging import waits_since
from proxy.edge.upstream.health import HealthCheck
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.slow_clients import SlowClients

STUCK: Final = 1.0  # seconds, at the least, in which something comes from a backend that only is busy
WAITING: Final = 4  # requests that may wait for each connection; more would hardly have their turn in time
AGE_SPREAD: Final = 0.1  # connections that were made together end by and by
WRITE_REUSE = 1.0  # a write takes a pooled connection only if it was used within this many seconds


class Pool(Home):
    """All connections of one worker to one backend."""

    __slots__ = (
        "_busy_since",
        "_connecting",
        "_dialler",
        "_dials",
        "_health",
        "_retired",
        "_slow_clients",
        "_sweeper",
    )

    def __init__(self, backend: Backend, loop: asyncio.AbstractEventLoop, sweeper: Sweeper) -> None:
        super().__init__(backend, loop)
        self._slow_clients = SlowClients(self)
        self._sweeper = sweeper
        self._dialler = Dialler(self)
        self._busy_since = 0.0  # when the first of those that wait began to
        self._connecting: set[asyncio.Task[None]] = set()
        self._dials: dict[Waiter, tuple[Address, float]] = {}  # for whom, where to, and since when
        self._retired = False
        self._health = HealthCheck(self) if backend.health.path else None

    def __repr__(self) -> str:
        idle = sum(len(address.idle) for address in self.addresses)
        state = f"{self.connections} of {self.backend.connections} connections, {idle} idle"
        retired = ", retired" if self._retired else ""
        return f"<Pool {self.backend.name}: {state}, {len(self.waiting)} waiting{retired}>"

    def acquire(
        self, waiter: Waiter, *, write: bool, fresh: bool = False, upload: bool = False
    ) -> Pooled | None:
        """An idle connection, or None: then `waiter` hears later.

        `write`: the request may not be sent twice, so only a connection that is surely alive will do.
        `fresh`: a pooled one has just been found dead. `upload`: its body has not come whole.
        """
        if upload and not self._slow_clients.admits():
            self._refuse(
                waiter,
                "other requests wait for this backend, and slow clients hold their share of its connections",
            )
            return None
        addresses = self.addresses
        address = addresses[0] if len(addresses) == 1 else self._choose(waiter.tried, write)
        if not fresh:
            connection = self._idle(address, write)
            if connection is not None:
                address.outstanding += 1
                return connection
        if self.connections < self.backend.connections or self._evict():
            self.open(address, waiter)
        else:
            self._wait(waiter, upload)
        return None

    def _wait(self, waiter: Waiter, upload: bool) -> None:
        now = self.loop.time()
        if not self.waiting:
            self._busy_since = now
        if not self.waiting.add(waiter, upload, WAITING * self.backend.connections):
            self._refuse(waiter, "too many requests are already waiting for this backend")
            return
        waiter.deadline = now + self.backend.timeouts.connect
        self._sweeper.items.add(waiter)
        if not upload:
            self._slow_clients.begin()

    @staticmethod
    def _refuse(waiter: Waiter, detail: str) -> None:
        waiter.on_failure("no_connection", detail)

    def stop_waiting(self, waiter: Waiter) -> None:
        """`waiter` has waited long enough, or has no use for a connection any more."""
        self._sweeper.items.discard(waiter)
        self.waiting.discard(waiter)

    def given_up(self, waiter: Waiter) -> GaveUp:
        """The client of `waiter` has left: what that says of the backend. Nothing of the endpoint.

        One that waits for others' connections tells nothing: all of them may serve long polls.
        """
        dial = self._dials.get(waiter)
        if dial is None:
            return NOTHING
        return hanging.judged(dial[0], self, dial[1], hanging.LONG)._replace(long=False)

    def has_spare(self) -> bool:
        """Whether a request would get a connection at once, and take it from nobody."""
        if self.waiting:
            return False
        return self.connections < self.backend.connections or any(each.idle for each in self.addresses)

    def is_stuck(self) -> bool:
        """Whether, for as long as one waits for a connection and for a second, nothing at all came from it.

        A busy backend sends somebody an answer or goes on with one in that time; one that hangs does not, but
        neither does one that serves long polls only. Connections that wait for slow clients tell nothing.
        """
        if len(self.stalled) >= self.connections:
            return False
        silent = self.loop.time() - max(self._busy_since, self.last_heard())
        return silent >= max(STUCK, self.backend.timeouts.connect)

    def unanswered(self, since: float) -> Counter[Address]:
        """By address, the requests that have waited since then or longer for a byte, or did until their
        clients left, unless something came for others afterwards.
        """
        found = Counter(
            item.address
            for item in self._sweeper.items
            if isinstance(item, UpstreamConnection) and item.pool is self and waits_since(item, self) <= since
        )
        remembered = self.loop.time() - FORGOTTEN
        for address in self.addresses:
            if address.gave_up_at > max(remembered, address.last_heard()):
                found[address] += address.gave_up
        return found

    def release(self, connection: Pooled) -> None:
        address = connection.address
        now = self.loop.time()
        if connection.used:
            address.failures = 0
            address.answered_at = now
            if address.left_out:
                address.back()
            if address.vain:
                address.host_answers(self.backend.name, connection.host)
        if self._retired or now >= connection.expires or self._has_moved(connection):
            connection.abort()
            return
        if self.waiting and not connection.is_quiet():
            connection.abort()  # it closes without having said so, and what waits may be a write
            return
        if self.waiting and (waiter := self._next_waiter()) is not None:
            connection.deadline = NEVER
            waiter.on_connection(connection)
            return
        address.outstanding -= 1
        connection.idle_since = now
        connection.deadline = min(now + self.backend.timeouts.pool_idle, connection.expires)
        address.idle.append(connection)

    def _has_moved(self, connection: Pooled) -> bool:
        """Whether the upstream's name no longer has the address that this is connected to."""
        hosts = connection.address.hosts
        if connection.hosts is hosts:
            return False
        connection.hosts = hosts
        return connection.host not in hosts

    def move(self, address: Address, hosts: tuple[str, ...]) -> None:
        """The upstream's name has other addresses: connections to former ones go as soon as they are idle."""
        address.hosts = hosts
        for connection in list(address.idle):
            if self._has_moved(connection):
                connection.abort()

    def switch(self, connection: Pooled) -> None:
        """`connection` is a tunnel from now on: it may last for hours, and leaves its place to requests."""
        connection.tunnel = True
        self.tunnels += 1
        self._leave(connection.address)

    def forget(self, connection: Pooled) -> None:
        if not connection.pooled:
            return  # whoever makes it still counts it, and will find it closed
        address = connection.address
        self._sweeper.items.discard(connection)
        if connection.tunnel:
            self.tunnels -= 1
            return
        self.connections -= 1
        if connection in address.idle:
            address.idle.remove(connection)
        elif address.outstanding:
            address.outstanding -= 1
        self._serve_waiting()

    def _leave(self, address: Address) -> None:
        self.connections -= 1
        address.outstanding -= 1
        self._serve_waiting()

    def retire(self) -> None:
        """The configuration no longer has this backend: close what is idle, the rest as it finishes."""
        self._retired = True
        if self._health is not None:
            self._health.stop()
        for address in self.addresses:
            for connection in list(address.idle):
                connection.abort()

    def _choose(self, tried: tuple[object, ...], write: bool = False) -> Address:
        """One that was left out gets a request when its time has come; a write only if long no read came."""
        if len(self.addresses) == 1:
            return self.addresses[0]
        now = self.loop.time()
        untried = [address for address in self.addresses if address not in tried] or self.addresses
        usable = [a for a in untried if a.healthy and a.is_due(now, write)] or untried
        first, second = random.sample(usable, 2) if len(usable) > 1 else (usable[0], usable[0])
        chosen = first if first.outstanding <= second.outstanding else second
        if chosen.left_out:
            chosen.out_until = now + address_module.SIT_OUT
        return chosen

    def _idle(self, address: Address, write: bool) -> Pooled | None:
        idle = address.idle
        oldest = self.loop.time() - (WRITE_REUSE if write else self.backend.timeouts.pool_idle)
        while idle:
            connection = idle.pop()
            if connection.idle_since >= oldest and connection.is_quiet():
                connection.deadline = NEVER
                return connection
            if write and connection.idle_since < oldest:
                idle.append(connection)  # too old for a write, still good for a read
                return None
            address.outstanding += 1  # abort() takes it off again
            connection.abort()
        return None

    def _evict(self) -> bool:
        """Make room by closing an idle connection: another upstream's, or one too old for a write."""
        for address in self.addresses:
            if address.idle:
                address.idle[0].abort()
                return True
        return False

    def open(self, address: Address, waiter: Waiter) -> None:
        self.connections += 1
        address.outstanding += 1
        task = self.loop.create_task(self._connect(address, waiter))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, address: Address, waiter: Waiter) -> None:
        try:
            connection = await self._dial(address, waiter)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            kind: FailureKind = "connect_timeout" if isinstance(error, TimeoutError) else "connect_failed"
            within = f"no connection within timeouts.connect ({self.backend.timeouts.connect:g} s)"
            address.reached(self.backend.name, str(error) or within)
            self._not_connected(address, waiter, kind)
            return
        if connection.closed:
            address.reached(self.backend.name, "it closed the connection, or sent data before a request")
            self._not_connected(address, waiter, "connect_failed")
            return
        if address.trouble:
            address.reached(self.backend.name, "")
        connection.pooled = True
        age = self.backend.timeouts.pool_age
        connection.expires = self.loop.time() + age * (1 - AGE_SPREAD * random.random())
        self._sweeper.items.add(connection)
        if waiter.wants_connection(self):
            waiter.on_connection(connection)
        else:
            self.release(connection)

    async def _dial(self, address: Address, waiter: Waiter) -> UpstreamConnection:
        self._dials[waiter] = (address, self.loop.time())
        try:
            async with asyncio.timeout(self.backend.timeouts.connect):
                return await self._dialler.dial(address, partial(self._protocol, address))
        finally:
            self._dials.pop(waiter, None)

    def _not_connected(self, address: Address, waiter: Waiter, kind: FailureKind) -> None:
        self.connections -= 1
        address.outstanding -= 1
        address.failed(self.loop.time())
        waiter.tried += (address,)
        if waiter.wants_connection(self):
            waiter.on_failure(kind, f"the {self.backend.name} backend cannot be reached")
        self._serve_waiting()

    def _protocol(self, address: Address) -> asyncio.Protocol:
        return cast(asyncio.Protocol, UpstreamConnection(self, address))

    def _next_waiter(self) -> Waiter | None:
        while self.waiting:
            waiter = self.waiting.take(self._slow_clients.within(), self._slow_clients.admits())
            if waiter is None:
                break
            self._sweeper.items.discard(waiter)
            waiter.deadline = NEVER
            if waiter.wants_connection(self):
                return waiter
        return None

    def _serve_waiting(self) -> None:
        if self.waiting and self.connections < self.backend.connections:
            waiter = self._next_waiter()
            if waiter is not None:
                self.open(self._choose(waiter.tried), waiter)

    def serve_uploads(self) -> None:
        """They were held back, and may begin from now on: only they wait."""
        while self.waiting and (self.connections < self.backend.connections or self._evict()):
            self._serve_waiting()
