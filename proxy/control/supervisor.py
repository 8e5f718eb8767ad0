"""Keeps the workers alive: starts them, adopts orphans, replaces the dead, pushes snapshots, drains.

A slot is a worker number with one task that keeps a process in it. Connections are matched to processes by
pid. One that matches none is *unclaimed*: a child that is just being started, or an orphan of a control
process that died. An orphan is adopted at start-up if it listens on our socket and its slot is empty; what
nobody claimed within a second is drained.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence

from proxy.control import processes
from proxy.control.backoff import Backoff
from proxy.control.channel import Link, Links
from proxy.control.collect import Collector
from proxy.control.listener import address_of
from proxy.control.log import log
from proxy.control.processes import Orphan, Process
from proxy.core.messages import Applied, Apply, Drain, Drained, FromWorker, Refused, Stats

UNCLAIMED_GRACE = 1.0  # seconds
START_TIMEOUT = 30.0  # seconds from start to the first snapshot served
KILL_AFTER = 1.0  # seconds past the drain timeout
KILL_TIMEOUT = 5.0  # seconds that the system may take to end a killed process


class Worker:
    """One worker process and its connection, if it has one now."""

    def __init__(self, slot: int, process: Process) -> None:
        self.slot = slot
        self.process = process
        self.started = time.monotonic()
        self.link: Link | None = None
        self.incarnation = ""
        self.hash = ""
        self.generation = 0
        self.connections = 0
        self.refused = ""  # why it could not apply the newest snapshot
        self.ended = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def serves(self, newest: Apply) -> bool:
        return self.hash == newest.hash and self.generation == newest.generation


class Supervisor(Links):
    """The workers of one listening socket.

    `command` starts a worker; `--worker N --channel PATH --fd FD` is appended to it.
    """

    def __init__(self, command: Sequence[str], channel: str, collector: Collector) -> None:
        self._command = tuple(command)
        self._channel = channel
        self._collector = collector
        self._drain_timeout = 0.0
        self._listener: socket.socket | None = None
        self._workers: dict[int, Worker] = {}  # by pid
        self._unclaimed: dict[int, Link] = {}  # by pid
        self._slots: list[asyncio.Task[None]] = []
        self._newest: Apply | None = None
        self._changed = asyncio.Event()
        self.draining = False

    # what others ask

    def workers(self) -> list[Worker]:
        """Living workers, by number."""
        return sorted(self._workers.values(), key=lambda worker: worker.slot)

    def ready(self) -> bool:
        """Whether at least one worker serves the newest snapshot and we are not shutting down."""
        newest = self._newest
        return (
            newest is not None
            and not self.draining
            and any(worker.link and worker.hash == newest.hash for worker in self._workers.values())
        )

    # life

    async def orphan_socket(self, address: tuple[str, int], timeout: float) -> socket.socket | None:
        """A copy of the socket on `address` (numeric host, port) of the first orphan that has it, or None."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    for link in self._unclaimed.values():
                        if address_of(link.listener) == address:
                            return link.listener.dup()
                    await self._change()
        return None

    def start(self, listener: socket.socket, count: int) -> None:
        """Fills slots 0 to count - 1: with orphans on the same socket where there are any, else anew.

        Call `publish` before.
        """
        self._listener = listener
        for slot in range(count):
            orphan = self._adopt(slot)
            self._slots.append(asyncio.create_task(self._keep(slot, orphan), name=f"worker {slot}"))
        for link in list(self._unclaimed.values()):
            self._dismiss(link)

    def publish(self, newest: Apply, drain: float) -> None:
        """Sends the snapshot to every worker; those that connect later get it then. `drain` in seconds."""
        self._newest = newest
        self._drain_timeout = drain
        for worker in self._workers.values():
            self._update(worker)

    async def settled(self, timeout: float) -> list[Worker]:
        """Waits until every connected worker serves the newest snapshot; returns those that do not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while any(not worker.refused for worker in self._behind()):
                    await self._change()
        return self._behind()

    async def drain(self) -> None:
        """Lets every worker finish what is in flight, within the drain timeout, then ends it."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for link in list(self._unclaimed.values()):
            self._dismiss(link)
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.send(Drain(timeout=self._drain_timeout))
            else:
                worker.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout + KILL_AFTER):
                while self._workers:
                    await self._change()
        await self.kill()

    async def kill(self) -> None:
        """Ends every worker at once and forgets the slots."""
        self.draining = True
        for worker in self._workers.values():
            log.warning("killing worker %d (pid %d), which is still busy", worker.slot, worker.pid)
            worker.process.send_signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                while self._workers:
                    await self._change()
        for task in self._slots:
            task.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    # slots

    async def _keep(self, slot: int, worker: Worker | None) -> None:
        backoff = Backoff()
        while not self.draining:
            worker = worker or await self._spawn(slot)
            if worker is None:
                how, uptime = "could not be started", 0.0
            else:
                how = await worker.process.wait()
                uptime = time.monotonic() - worker.started
                self._bury(worker)
            if self.draining:
                return
            delay = backoff.after(uptime)
            log.error(
                "worker %d (%s) died after %.1f s: %s; starting it again %s",
                slot,
                f"pid {worker.pid}" if worker else "no pid",
                uptime,
                how,
                f"in {delay:.1f} s" if delay else "now",
            )
            worker = None
            await asyncio.sleep(delay)

    async def _spawn(self, slot: int) -> Worker | None:
        assert self._listener is not None
        fd = self._listener.fileno()
        command = (*self._command, "--worker", str(slot), "--channel", self._channel, "--fd", str(fd))
        try:
            process = await processes.start(command, fd=fd)
        except OSError as error:
            log.error("cannot start worker %d: %s", slot, error)
            return None
        worker = Worker(slot, process)
        self._workers[worker.pid] = worker
        if link := self._unclaimed.pop(worker.pid, None):
            self._attach(worker, link)
        asyncio.get_running_loop().call_later(START_TIMEOUT, self._check_started, worker)
        return worker

    def _check_started(self, worker: Worker) -> None:
        if not worker.ended and not worker.hash and not worker.refused:
            log.error("worker %d (pid %d) did not come up; killing it", worker.slot, worker.pid)
            worker.process.send_signal(signal.SIGKILL)

    def _bury(self, worker: Worker) -> None:
        worker.ended = True
        del self._workers[worker.pid]
        if worker.link is None:
            self._collector.left(worker.incarnation)
        self._changed_now()

    def _adopt(self, slot: int) -> Worker | None:
        assert self._listener is not None
        for pid, link in self._unclaimed.items():
            if link.hello.worker == slot and os.path.sameopenfile(
                link.listener.fileno(), self._listener.fileno()
            ):
                del self._unclaimed[pid]
                worker = Worker(slot, Orphan(pid))
                self._workers[pid] = worker
                self._attach(worker, link)
                log.info("adopted worker %d (pid %d), which went on serving", slot, pid)
                return worker
        return None

    def _dismiss(self, link: Link) -> None:
        """Drains a worker that has no slot."""
        if self._unclaimed.get(link.hello.pid) is not link:
            return
        del self._unclaimed[link.hello.pid]
        log.warning("draining a worker without a place here (pid %d)", link.hello.pid)
        link.listener.close()
        link.send(Drain(timeout=self._drain_timeout))

    # connections

    def on_hello(self, link: Link) -> None:
        hello = link.hello
        self._collector.joined(hello.incarnation, fresh=not hello.hash)
        worker = self._workers.get(hello.pid)
        if worker is not None:
            self._attach(worker, link)
            return
        self._unclaimed[hello.pid] = link
        if self.draining:
            self._dismiss(link)
        elif self._listener is not None:
            asyncio.get_running_loop().call_later(UNCLAIMED_GRACE, self._dismiss, link)
        self._changed_now()

    def on_message(self, link: Link, message: FromWorker) -> None:
        if isinstance(message, Stats):
            self._collector.record(link.hello.incarnation, message)
        worker = self._workers.get(link.hello.pid)
        if worker is None or worker.link is not link:
            return
        match message:
            case Applied():
                worker.hash, worker.generation, worker.refused = message.hash, message.generation, ""
                self._changed_now()
            case Refused():
                worker.refused = message.error
                log.error("worker %d refused configuration %s: %s", worker.slot, message.hash, message.error)
                self._changed_now()
            case Stats():
                worker.connections = message.connections
            case Drained():
                log.info("worker %d (pid %d) has finished its requests", worker.slot, worker.pid)

    def on_lost(self, link: Link) -> None:
        link.listener.close()
        if self._unclaimed.get(link.hello.pid) is link:
            del self._unclaimed[link.hello.pid]
        worker = self._workers.get(link.hello.pid)
        if worker is None:
            self._collector.left(link.hello.incarnation)
        elif worker.link is link:
            worker.link = None
        self._changed_now()

    def _attach(self, worker: Worker, link: Link) -> None:
        link.listener.close()
        if worker.link is not None:
            worker.link.abort()
        worker.link = link
        worker.incarnation = link.hello.incarnation
        worker.hash, worker.generation = link.hello.hash, link.hello.generation
        if self.draining:
            link.send(Drain(timeout=self._drain_timeout))
        else:
            self._update(worker)
        self._changed_now()

    def _update(self, worker: Worker) -> None:
        newest = self._newest
        if newest is None or worker.link is None:
            return
        worker.refused = ""
        if not worker.serves(newest):
            worker.link.send(newest)

    def _behind(self) -> list[Worker]:
        newest = self._newest
        return [
            worker
            for worker in self.workers()
            if newest is not None and worker.link and not worker.serves(newest)
        ]

    async def _change(self) -> None:
        await self._changed.wait()

    def _changed_now(self) -> None:
        """Wakes everybody who waits for a change of the workers."""
        self._changed.set()
        self._changed = asyncio.Event()
