"""Keeps the workers alive: starts them, adopts orphans, replaces the dead, pushes snapshots, drains.

A slot is a worker number with one task that keeps a process in it. Connections are matched to processes by
pid. One that matches none is *unclaimed*: a child that is just being started, or an orphan of a control
process that died. An orphan is adopted at start-up if it listens on our socket and its slot is empty; what
nobody claimed within a second is retired: it drains as one that a roll has replaced.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Collection, Sequence

from proxy.control import processes
from proxy.control.backoff import Backoff
from proxy.control.changes import Changes
from proxy.control.channel import Link, Links
from proxy.control.collect import Collector
from proxy.control.log import log
from proxy.control.member import Worker
from proxy.control.processes import Orphan
from proxy.control.pulse import Pulse
from proxy.control.sockets import Sockets
from proxy.control.unclaimed import Unclaimed
from proxy.core.settings import ServerTimeouts
from proxy.core.wire.messages import Applied, Apply, Drain, Drained, FromWorker, Refused, Reopen, Stats

UNCLAIMED_GRACE = 1.0  # seconds
START_TIMEOUT = 50.0  # seconds from start to the first snapshot served, on a busy machine
KILL_AFTER = 1.0  # seconds past the drain timeout
KILL_TIMEOUT = 5.0  # seconds that the system may take to end a killed process


class Supervisor(Links):
    """The workers of one listening socket.

    `command` starts a worker; `--worker N --channel PATH --fd FD` is appended to it.
    """

    def __init__(self, command: Sequence[str], channel: str, collector: Collector) -> None:
        self._command = tuple(command)
        self._channel = channel
        self._collector = collector
        self._drain_timeout = 0.0
        self.sockets = Sockets()
        self.pulse = Pulse()
        self._workers: dict[int, Worker] = {}  # by pid
        self._slots: list[asyncio.Task[None]] = []
        self._newest: Apply | None = None
        self.changes = Changes()
        self.unclaimed = Unclaimed(self.changes)
        self.draining = False

    # what others ask

    def workers(self) -> list[Worker]:
        """Living workers, by number."""
        return sorted(self._workers.values(), key=lambda worker: worker.slot)

    def listener(self) -> socket.socket:
        """The socket that clients connect to."""
        current = self.sockets.current()
        assert current is not None
        return current

    def ready(self) -> bool:
        """Whether at least one worker serves the newest snapshot and we are not shutting down."""
        return not self.unready()

    def unready(self) -> str:
        """Why clients cannot be served as they should, in words; "" if they can."""
        if self.draining:
            return "shutting down"
        newest = self._newest
        serving = [each for each in self.workers() if newest and each.link and each.hash == newest.hash]
        if not serving:
            return "no worker serves the newest configuration yet"
        silent = [self.pulse.silence(each) or 0.0 for each in serving if self.pulse.life(each) != "fresh"]
        if len(silent) < len(serving):
            return ""
        return f"every worker hangs: none has said anything for {min(silent):.0f} s"

    # life

    def start(self, listener: socket.socket, count: int) -> None:
        """Fills slots 0 to count - 1: with orphans on the same socket where there are any, else anew.

        Call `publish` before.
        """
        self.sockets.take(listener)
        for slot in range(count):
            self._fill(slot, self._adopt(slot))
        for link in self.unclaimed:
            self._dismiss(link)

    def take_over(
        self, listener: socket.socket, previous: socket.socket | None, pids: Collection[int]
    ) -> None:
        """Before a roll: every orphan keeps its slot, whichever socket it has. Call `publish` before.

        `previous` is the socket that they were started with, if it is not `listener`. Of `pids`, those that
        have not connected go too: they had been draining, or died.
        """
        self.sockets.take(listener, previous)
        for slot in self.unclaimed.slots():
            self._fill(slot, self._adopt(slot, moved=True))
        for link in self.unclaimed:
            self._dismiss(link)
        for pid in set(pids) - self._workers.keys():
            if processes.is_child(pid):
                self._slots.append(asyncio.create_task(self._see_off(Orphan(pid))))

    def publish(self, newest: Apply, timeouts: ServerTimeouts) -> None:
        """Sends the snapshot to every worker; those that connect later get it then."""
        self._newest = newest
        self._drain_timeout = timeouts.drain
        self.pulse.bound = timeouts.worker
        for worker in self._workers.values():
            self._update(worker)

    async def watch(self) -> None:
        """Replaces workers that hang; until cancelled."""
        await self.pulse.watch(self.workers)

    def reopen_logs(self) -> None:
        """Tells every worker to open its access log anew."""
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.send(Reopen())

    async def settled(self, timeout: float) -> list[Worker]:
        """Waits until every connected worker serves the newest snapshot; returns those that do not."""
        await self.changes.until(lambda: all(worker.refused for worker in self._behind()), timeout)
        return self._behind()

    async def drain(self) -> None:
        """Lets every worker finish what is in flight, within the drain timeout, then ends it."""
        self.draining = True
        self.sockets.close()
        for link in self.unclaimed:
            self._dismiss(link)
        for worker in self._workers.values():
            self._tell_to_drain(worker)
        await self.changes.until(lambda: not self._workers, self._drain_timeout + KILL_AFTER)
        await self.kill()

    # a roll

    async def replace(self, slot: int) -> str:
        """Puts a new worker in this slot and drains the old one once it serves; else says why not."""
        worker = await self._spawn(slot)
        if worker is None:
            return "could not be started"
        worker.kept = False
        self._fill(slot, worker)
        await self.changes.until(
            lambda: self._up(worker) or worker.ended or worker.refused or self.draining, START_TIMEOUT
        )
        if not self._up(worker) or self.draining:
            worker.process.send_signal(signal.SIGKILL)
            self.sockets.go_back()
            return f"did not come up: {self._why_not(worker)}"
        for other in self._kept(slot):
            self._retire(other)
        worker.kept = True
        self.sockets.moved()
        return ""

    def _why_not(self, worker: Worker) -> str:
        if worker.refused:
            return f"it refused the configuration: {worker.refused}"
        if self.draining:
            return "the proxy is shutting down"
        return worker.ended or f"it does not serve after {START_TIMEOUT:g} s"

    def restore(self, count: int) -> None:
        """After a roll that stopped: fills those of the slots 0 to count - 1 that nobody keeps."""
        for slot in range(count):
            if not self._kept(slot):
                self._fill(slot, None)

    def shrink(self, count: int) -> None:
        """Drains the workers of slots that are not one of 0 to count - 1."""
        for worker in self.workers():
            if worker.kept and worker.slot >= count:
                self._retire(worker)

    async def retired(self) -> None:
        """Until every worker that was told to drain has gone."""
        await self.changes.until(lambda: not any(worker.retired for worker in self._workers.values()))

    def _up(self, worker: Worker) -> bool:
        return self._newest is not None and worker.serves(self._newest) and not worker.ended

    def _kept(self, slot: int) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.kept and worker.slot == slot]

    def _retire(self, worker: Worker) -> None:
        """Lets it finish, idle connections included, and puts nothing in its place."""
        log.info("draining worker %d (pid %d)", worker.slot, worker.pid)
        self._let_go(worker)
        self._tell_to_drain(worker)

    def _let_go(self, worker: Worker) -> None:
        worker.kept = False
        worker.retired = True
        asyncio.get_running_loop().call_later(self._drain_timeout + KILL_AFTER, self._end, worker)

    def _tell_to_drain(self, worker: Worker) -> None:
        """One that has lost its connection is told when it is back."""
        if worker.link is not None:
            worker.link.send(Drain(timeout=self._drain_timeout, patient=not self.draining))
        elif self.draining or not worker.incarnation:
            worker.process.send_signal(signal.SIGTERM)

    def _end(self, worker: Worker) -> None:
        if not worker.ended:
            log.warning("killing worker %d (pid %d), which is still busy", worker.slot, worker.pid)
            worker.process.send_signal(signal.SIGKILL)

    async def kill(self) -> None:
        """Ends every worker at once and forgets the slots."""
        self.draining = True
        for worker in self._workers.values():
            self._end(worker)
        await self.changes.until(lambda: not self._workers, KILL_TIMEOUT)
        for task in self._slots:
            task.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    # slots

    def _fill(self, slot: int, worker: Worker | None) -> None:
        self._slots = [task for task in self._slots if not task.done()]
        self._slots.append(asyncio.create_task(self._keep(slot, worker), name=f"worker {slot}"))

    async def _keep(self, slot: int, worker: Worker | None) -> None:
        backoff = Backoff()
        while worker is not None or not self.draining:
            worker = worker or await self._spawn(slot)
            if worker is None:
                how, uptime = "could not be started", 0.0
            else:
                if len(self._kept(slot)) > 1:
                    self._retire(worker)  # a roll has filled the slot while it was being started
                how = await worker.process.wait()
                uptime = time.monotonic() - worker.started
                self._bury(worker, how)
            if self.draining or (worker is not None and not worker.kept):
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
            if self._kept(slot):
                return  # a roll has filled it meanwhile

    async def _spawn(self, slot: int) -> Worker | None:
        fd = self.listener().fileno()
        command = (*self._command, "--worker", str(slot), "--channel", self._channel, "--fd", str(fd))
        try:
            process = await processes.start(command, fd=fd)
        except (OSError, RuntimeError) as error:  # no descriptor, process or thread left
            log.error("cannot start worker %d: %s", slot, error)
            return None
        worker = Worker(slot, process)
        self._workers[worker.pid] = worker
        if link := self.unclaimed.take(worker.pid):
            self._attach(worker, link)
        asyncio.get_running_loop().call_later(START_TIMEOUT, self._check_started, worker)
        return worker

    def _check_started(self, worker: Worker) -> None:
        if not worker.ended and not worker.hash and not worker.refused:
            log.error("worker %d (pid %d) did not come up; killing it", worker.slot, worker.pid)
            worker.process.send_signal(signal.SIGKILL)

    def _bury(self, worker: Worker, how: str) -> None:
        worker.ended = how
        del self._workers[worker.pid]
        if worker.link is None:
            self._collector.left(worker.incarnation)
        self.changes.tell()

    def _adopt(self, slot: int, *, moved: bool = False) -> Worker | None:
        """An orphan of this number on our socket, or, if `moved`, on any."""
        link = self.unclaimed.take_slot(slot, None if moved else self.listener())
        if link is None:
            return None
        worker = Worker(slot, Orphan(link.hello.pid))
        self._workers[worker.pid] = worker
        self._attach(worker, link)
        log.info("adopted worker %d (pid %d), which went on serving", slot, worker.pid)
        return worker

    def _dismiss(self, link: Link) -> None:
        """Retires a worker that has no slot, if it is still unclaimed."""
        if not self.unclaimed.remove(link):
            return
        log.warning("draining a worker without a place here (pid %d)", link.hello.pid)
        worker = Worker(link.hello.worker, Orphan(link.hello.pid))
        self._workers[worker.pid] = worker
        self._let_go(worker)
        self._attach(worker, link)
        self._fill(worker.slot, worker)

    async def _see_off(self, orphan: Orphan) -> None:
        """Until this child of the process before us has ended; it takes no longer than a drain."""
        wait = self._drain_timeout + KILL_AFTER
        asyncio.get_running_loop().call_later(wait, orphan.send_signal, signal.SIGKILL)
        await orphan.wait()

    # connections

    def on_hello(self, link: Link) -> None:
        hello = link.hello
        self._collector.joined(hello.incarnation, fresh=not hello.hash)
        worker = self._workers.get(hello.pid)
        if worker is not None:
            self._attach(worker, link)
            return
        self.unclaimed.add(link)
        if self.draining:
            self._dismiss(link)
        elif self.sockets.current() is not None:
            asyncio.get_running_loop().call_later(UNCLAIMED_GRACE, self._dismiss, link)
        self.changes.tell()

    def on_message(self, link: Link, message: FromWorker) -> None:
        if isinstance(message, Stats):
            self._collector.record(link.hello.incarnation, message)
        worker = self._workers.get(link.hello.pid)
        if worker is None or worker.link is not link:
            return
        self.pulse.heard(worker)
        match message:
            case Applied():
                worker.hash, worker.generation, worker.refused = message.hash, message.generation, ""
                self.changes.tell()
            case Refused():
                worker.refused = message.error
                log.error("worker %d refused configuration %s: %s", worker.slot, message.hash, message.error)
                self.changes.tell()
            case Stats():
                worker.connections, worker.tasks = message.connections, message.tasks
            case Drained():
                log.info("worker %d (pid %d) has finished its requests", worker.slot, worker.pid)

    def on_lost(self, link: Link) -> None:
        link.listener.close()
        self.unclaimed.remove(link)
        worker = self._workers.get(link.hello.pid)
        if worker is None:
            self._collector.left(link.hello.incarnation)
        elif worker.link is link:
            worker.link = None
        self.changes.tell()

    def _attach(self, worker: Worker, link: Link) -> None:
        link.listener.close()
        if worker.link is not None:
            worker.link.abort()
        worker.link = link
        self.pulse.heard(worker)
        worker.incarnation = link.hello.incarnation
        worker.hash, worker.generation = link.hello.hash, link.hello.generation
        if self.draining or worker.retired:
            link.send(Drain(timeout=self._drain_timeout, patient=not self.draining))
        else:
            self._update(worker)
        self.changes.tell()

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
