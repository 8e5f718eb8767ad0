"""Slots: worker numbers, each with one task that keeps a process in it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Collection, Sequence
from typing import Final

from proxy.control import processes
from proxy.control.backoff import Backoff
from proxy.control.channel import Link
from proxy.control.collect import Collector
from proxy.control.log import log
from proxy.control.processes import Orphan
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.member import Member
from proxy.control.supervisor.retirement import Retirement
from proxy.control.supervisor.sockets import Sockets
from proxy.control.supervisor.unclaimed import Unclaimed

START_TIMEOUT: Final = 50.0  # seconds from start to the first snapshot served, on a busy machine


class Slots:
    """`command` starts a worker; `--worker N --channel PATH --fd FD` is appended to it."""

    def __init__(
        self,
        command: Sequence[str],
        channel: str,
        crew: Crew,
        retirement: Retirement,
        sockets: Sockets,
        unclaimed: Unclaimed,
        collector: Collector,
    ) -> None:
        self._command = tuple(command)
        self._channel = channel
        self._crew = crew
        self._retirement = retirement
        self._sockets = sockets
        self._unclaimed = unclaimed
        self._collector = collector
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int) -> None:
        """Fills slots 0 to count - 1: with orphans on our socket where there are any, else anew."""
        for slot in range(count):
            self.fill(slot, self._adopt(slot))
        self.dismiss_all()

    def take_over(self, pids: Collection[int]) -> None:
        """Every orphan keeps its slot, whichever socket it has. Of `pids`, those that did not connect go."""
        for slot in self._unclaimed.slots():
            self.fill(slot, self._adopt(slot, moved=True))
        self.dismiss_all()
        for pid in set(pids) - self._crew.by_pid.keys():
            if processes.is_child(pid):
                self._tasks.append(asyncio.create_task(self._retirement.see_off(Orphan(pid))))

    def fill(self, slot: int, worker: Member | None) -> None:
        """Keeps a process in the slot from now on, first this one."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._keep(slot, worker), name=f"worker {slot}"))

    async def spawn(self, slot: int) -> Member | None:
        """A new process for the slot; None if there cannot be one."""
        fd = self._sockets.in_use().fileno()
        command = (*self._command, "--worker", str(slot), "--channel", self._channel, "--fd", str(fd))
        try:
            process = await processes.start(command, fd=fd)
        except (OSError, RuntimeError) as error:  # no descriptor, process or thread left
            log.error("cannot start worker %d: %s", slot, error)
            return None
        worker = self._crew.join(slot, process)
        if link := self._unclaimed.take(worker.pid):
            self._crew.attach(worker, link)
        asyncio.get_running_loop().call_later(START_TIMEOUT, _check_started, worker)
        return worker

    def dismiss(self, link: Link) -> None:
        """Retires a worker that has no slot, if it is still unclaimed."""
        if not self._unclaimed.remove(link):
            return
        log.warning("draining a worker without a place here (pid %d)", link.hello.pid)
        worker = self._crew.join(link.hello.worker, Orphan(link.hello.pid))
        self._retirement.let_go(worker)
        self._crew.attach(worker, link)
        self.fill(worker.slot, worker)

    def dismiss_all(self) -> None:
        for link in self._unclaimed:
            self.dismiss(link)

    async def forget(self) -> None:
        """Keeps no slot any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, slot: int, worker: Member | None) -> None:
        backoff = Backoff()
        while worker is not None or not self._crew.draining:
            worker = worker or await self.spawn(slot)
            if worker is None:
                how, uptime = "could not be started", 0.0
            else:
                if len(self._crew.kept(slot)) > 1:
                    self._retirement.retire(worker)  # a roll has filled the slot while it was being started
                how = await worker.process.wait()
                uptime = time.monotonic() - worker.started
                self._bury(worker, how)
            if self._crew.draining or (worker is not None and not worker.kept):
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
            if self._crew.kept(slot):
                return  # a roll has filled it meanwhile

    def _bury(self, worker: Member, how: str) -> None:
        worker.ended = how
        del self._crew.by_pid[worker.pid]
        if worker.link is None:
            self._collector.left(worker.incarnation)
        self._crew.changes.tell()

    def _adopt(self, slot: int, *, moved: bool = False) -> Member | None:
        """An orphan of this number on our socket, or, if `moved`, on any."""
        link = self._unclaimed.take_slot(slot, None if moved else self._sockets.in_use())
        if link is None:
            return None
        worker = self._crew.join(slot, Orphan(link.hello.pid))
        self._crew.attach(worker, link)
        log.info("adopted worker %d (pid %d), which went on serving", slot, worker.pid)
        return worker


def _check_started(worker: Member) -> None:
    if not worker.ended and not worker.hash and not worker.refused:
        log.error("worker %d (pid %d) did not come up; killing it", worker.slot, worker.pid)
        worker.process.send_signal(signal.SIGKILL)
