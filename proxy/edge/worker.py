"""An edge worker: takes snapshots from the control process, serves clients, reports, drains."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from proxy import __version__
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Applied, Apply, Drain, Drained, FromControl, Hello, Positions, Refused
from proxy.core.wire.taps import SOCKET_NAME
from proxy.edge.applying import Applying
from proxy.edge.channel import ControlChannel
from proxy.edge.client.accept import Acceptor
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.observe import tracing
from proxy.edge.report import stats
from proxy.edge.services import Services
from proxy.store import exists

log = logging.getLogger("strangler.worker")

BREAK_OWNERSHIP: Final = "STRANGLER_TEST_BREAK_OWNERSHIP"
REPORT: Final = 1.0  # seconds between two Stats
RESERVED_DESCRIPTORS: Final = 64  # listener, channel, loop, libraries


class Worker:
    """Runs until told to drain; `run` returns when nothing is in flight any more.

    `settled` is called after each change of the configuration.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        channel_path: str,
        listener: socket.socket,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._number = number
        self._incarnation = os.urandom(8).hex()
        self._generation = 0
        self._state = ""
        self._services: Services | None = None
        self._listener = listener
        self._cap = 0  # connections that may be open
        self._acceptor = Acceptor(
            loop, listener, self._connection, self._count, lambda: self._cap, self._leaver
        )
        self._samples = os.path.join(os.path.dirname(channel_path), SOCKET_NAME)
        self._channel = ControlChannel(channel_path, self._hello, listener, self._on_message)
        self._applying = Applying(self._apply, self._place, self._refuse)
        self._settled = settled
        self._stopped = asyncio.Event()
        self._reported = False  # whether this connection carried a whole Stats

    async def run(self) -> None:
        channel = self._loop.create_task(self._channel.run())
        reports = self._loop.create_task(self._report())
        await self._stopped.wait()
        reports.cancel()
        channel.cancel()
        await asyncio.gather(channel, reports, self._applying.close(), return_exceptions=True)
        if self._services is not None:
            self._services.observers.close_access_log(wait=True)
            await self._services.writes.close()
            if self._services.observers.tracer is not None:
                self._services.observers.tracer.close()

    def drain(self, timeout: float, patient: bool = False) -> None:
        """Stop accepting and finish what is in flight within `timeout` seconds.

        A patient drain answers idle connections once more before it closes them. One that is not may follow.
        """
        services = self._services
        self._acceptor.stop()
        self._listener.close()  # once no process has it open, new clients are refused instead of left waiting
        if services is None:
            self._stopped.set()
            return
        services.patient = patient
        if not patient:
            _close_idle(services)
        if not services.draining:
            services.draining = True
            self._loop.create_task(self._drained(services, timeout)).add_done_callback(lambda _: None)

    async def _drained(self, services: Services, timeout: float) -> None:
        until = self._loop.time() + timeout
        while self._busy(services) and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # an Event would cost every request a check
        services.patient = False
        _close_idle(services)
        self._channel.send(stats(services))
        while services.trials.untold:  # some had no place in the last message
            await asyncio.sleep(0.01)
            self._channel.send(stats(services, partial=True))
        self._channel.send(Drained())
        await asyncio.sleep(0.05)  # lets the last messages leave
        self._stopped.set()

    def _busy(self, services: Services) -> bool:
        return bool(services.clients.items or services.writes.under_way or self._acceptor.adopting)

    # messages

    def _hello(self) -> Hello:
        self._reported = False
        snapshot_hash = "" if self._services is None else self._services.snapshot.hash
        return Hello(
            worker=self._number,
            pid=os.getpid(),
            incarnation=self._incarnation,
            version=__version__,
            hash=snapshot_hash,
            generation=self._generation,
            state=self._state,
            takes_positions=True,
            takes_values=True,
        )

    def _on_message(self, message: FromControl) -> None:
        if isinstance(message, Apply):
            self._applying.take(message)
        elif isinstance(message, Positions):
            self._applying.take_positions(message)
        elif isinstance(message, Drain):
            self.drain(message.timeout, message.patient)
        elif self._services is not None and self._services.observers.access_log is not None:
            self._services.observers.access_log.reopen()

    def _apply(self, message: Apply, snapshot: Snapshot) -> Snapshot | None:
        """Returns what this replaces."""
        previous = None if self._services is None else self._services.snapshot
        if self._services is None:
            self._services = self._first(_with_state(snapshot, message.state))
        else:
            self._services.apply(snapshot)
        self._cap = _cap(snapshot)
        self._acceptor.start()
        self._settled()
        self._generation = message.generation
        self._channel.send(Applied(hash=message.hash, generation=message.generation))
        return previous

    def _place(self, snapshot: Snapshot) -> Snapshot | None:
        """The same configuration with rollouts where they stand now; returns what this replaces."""
        services = self._services
        assert services is not None
        previous = services.snapshot
        services.apply(snapshot)
        return previous

    def _refuse(self, message: Apply, error: Exception) -> None:
        log.error("worker %d cannot apply snapshot %s", self._number, message.hash, exc_info=error)
        self._channel.send(Refused(hash=message.hash, generation=message.generation, error=str(error)))

    def _first(self, snapshot: Snapshot) -> Services:
        ownership_off = bool(os.environ.get(BREAK_OWNERSHIP))
        if ownership_off:
            log.critical("%s is set: WRITES MAY BE EXECUTED TWICE; this is for tests only", BREAK_OWNERSHIP)
        services = Services(
            self._loop,
            snapshot,
            self._incarnation,
            ownership_off=ownership_off,
            samples=self._samples,
            tracer=tracing.start(),
        )
        services.writes.attend()
        if exists(snapshot.server.state):
            services.writes.claims()  # now, to find out what workers that are gone have left behind
        services.writes.warm(snapshot)
        return services

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT)
            if self._services is not None:
                told = stats(self._services, partial=self._reported)
                self._reported = self._channel.send(told)
                self._end_if_forsaken(self._services)

    def _end_if_forsaken(self, services: Services) -> None:
        """A worker that nobody will take over must not serve an old configuration for ever, if so set."""
        timeouts = services.snapshot.server.timeouts
        alone = self._channel.alone()
        if timeouts.orphan and alone >= timeouts.orphan and not services.draining:
            log.error(
                "worker %d has been without a control process for %.0f s (server.timeouts.orphan); "
                "finishing requests in flight",
                self._number,
                alone,
            )
            self.drain(timeouts.drain)

    # accepting

    def _connection(self, peer: str) -> asyncio.Protocol:
        assert self._services is not None
        return cast(asyncio.Protocol, ClientConnection(self._services, peer))

    def _count(self) -> int:
        return 0 if self._services is None else len(self._services.clients.items)

    def _leaver(self) -> Callable[[], None] | None:
        return None if self._services is None else self._services.crowd.leaver()


def _cap(snapshot: Snapshot) -> int:
    """Connections that clients may have open."""
    if snapshot.server.limits.connections:
        return snapshot.server.limits.connections
    upstreams = snapshot.legacy.connections + snapshot.async_.connections
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(descriptors - upstreams - RESERVED_DESCRIPTORS, descriptors // 2)


def _with_state(snapshot: Snapshot, state: str) -> Snapshot:
    return replace(snapshot, server=replace(snapshot.server, state=state or snapshot.server.state))


def _close_idle(services: Services) -> None:
    for client in list(services.clients.items):
        if isinstance(client, ClientConnection):
            client.close_if_idle()
