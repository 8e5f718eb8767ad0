"""Rolling restart: new code and settings, worker by worker, without a failed request.

The control process replaces itself by exec and finds its workers again as orphans that went on serving. Then,
slot by slot, a new worker is started beside the old one; once it serves, the old one drains patiently. A new
worker that does not come up ends the roll: it is killed, and those that were not replaced yet stay.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import Literal

from proxy.control.log import log
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.member import Member
from proxy.control.supervisor.retirement import Retirement
from proxy.control.supervisor.slots import START_TIMEOUT, Slots
from proxy.control.supervisor.sockets import Sockets


@dataclass(frozen=True, slots=True)
class Restart:
    """One rolling restart; `id` tells it from others.

    `workers` are the pids of the workers at its beginning; `listen` is the setting they were started with;
    `admin` is the admin port's new address, "" if that stays. `socket` and `text` are descriptors: the socket
    they listen on, and the configuration in force; -1 if they could not be handed over. `begun` (monotonic)
    and `used` (processor time) are the process's seconds when it gave itself up.
    """

    id: str
    workers: tuple[int, ...]
    listen: str
    admin: str = ""
    state: Literal["rolling", "done", "failed"] = "rolling"
    detail: str = ""
    socket: int = -1
    text: int = -1
    begun: float = 0.0
    used: float = 0.0


class Roll:
    def __init__(self, crew: Crew, retirement: Retirement, slots: Slots, sockets: Sockets) -> None:
        self._crew = crew
        self._retirement = retirement
        self._slots = slots
        self._sockets = sockets

    async def run(self, restart: Restart, count: int) -> Restart:
        """Replaces the workers of slots 0 to count - 1 and drains those beyond; returns how it ended."""
        try:
            return await self._replace_all(restart, count)
        except Exception as error:
            log.exception("rolling restart stopped")
            self._restore(count)
            return replace(restart, state="failed", detail=repr(error))

    async def replace(self, slot: int) -> str:
        """Puts a new worker in this slot and drains the old one once it serves; else says why not."""
        crew = self._crew
        worker = await self._slots.spawn(slot)
        if worker is None:
            return "could not be started"
        worker.kept = False
        self._slots.fill(slot, worker)
        await crew.changes.until(
            lambda: crew.up(worker) or worker.ended or worker.refused or crew.draining, START_TIMEOUT
        )
        if not crew.up(worker) or crew.draining:
            worker.process.send_signal(signal.SIGKILL)
            self._sockets.go_back()
            return f"did not come up: {self._why_not(worker)}"
        for other in crew.kept(slot):
            self._retirement.retire(other)
        worker.kept = True
        self._sockets.moved()
        return ""

    def shrink(self, count: int) -> None:
        """Drains the workers of slots that are not one of 0 to count - 1."""
        for worker in self._crew.workers():
            if worker.kept and worker.slot >= count:
                self._retirement.retire(worker)

    async def _replace_all(self, restart: Restart, count: int) -> Restart:
        for slot in range(count):
            problem = await self.replace(slot)
            if problem:
                detail = f"the new worker {slot} {problem}; workers that were not replaced yet go on serving"
                log.error("rolling restart stopped: %s", detail)
                self._restore(count)
                return replace(restart, state="failed", detail=detail)
        self.shrink(count)
        await self._retirement.retired()
        log.info("rolling restart done: %d workers", count)
        return replace(restart, state="done", detail=f"{count} workers")

    def _restore(self, count: int) -> None:
        """Fills those of the slots 0 to count - 1 that nobody keeps."""
        for slot in range(count):
            if not self._crew.kept(slot):
                self._slots.fill(slot, None)

    def _why_not(self, worker: Member) -> str:
        if worker.refused:
            return f"it refused the configuration: {worker.refused}"
        if self._crew.draining:
            return "the proxy is shutting down"
        return worker.ended or f"it does not serve after {START_TIMEOUT:g} s"
