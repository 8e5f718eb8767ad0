"""How a worker goes: told to drain, given its time, and killed if it is still busy then."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from proxy.control.log import log
from proxy.control.processes import Orphan
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.member import Member

KILL_AFTER: Final = 1.0  # seconds past the drain timeout
KILL_TIMEOUT: Final = 5.0  # seconds that the system may take to end a killed process


class Retirement:
    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    def retire(self, worker: Member) -> None:
        """Lets it finish, idle connections included, and puts nothing in its place."""
        log.info("draining worker %d (pid %d)", worker.slot, worker.pid)
        self.let_go(worker)
        self._crew.tell_to_drain(worker)

    def let_go(self, worker: Member) -> None:
        """It has the time of a drain from now on; it is told when it connects."""
        worker.kept = False
        worker.retired = True
        asyncio.get_running_loop().call_later(self._allowed(), self._end, worker)

    async def see_off(self, orphan: Orphan) -> None:
        """Until this child of the process before us has ended; it takes no longer than a drain."""
        asyncio.get_running_loop().call_later(self._allowed(), orphan.send_signal, signal.SIGKILL)
        await orphan.wait()

    async def retired(self) -> None:
        """Until every worker that was told to drain has gone."""
        await self._crew.changes.until(
            lambda: not any(worker.retired for worker in self._crew.by_pid.values())
        )

    async def drain_all(self) -> None:
        """Until all have finished what is in flight, for at most the drain timeout."""
        for worker in self._crew.by_pid.values():
            self._crew.tell_to_drain(worker)
        await self._all_gone(self._allowed())

    async def kill_all(self) -> None:
        for worker in self._crew.by_pid.values():
            self._end(worker)
        await self._all_gone(KILL_TIMEOUT)

    async def _all_gone(self, timeout: float) -> None:
        await self._crew.changes.until(lambda: not self._crew.by_pid, timeout)

    def _allowed(self) -> float:
        """Seconds that one may take to go."""
        return self._crew.drain_timeout + KILL_AFTER

    def _end(self, worker: Member) -> None:
        if not worker.ended:
            log.warning("killing worker %d (pid %d), which is still busy", worker.slot, worker.pid)
            worker.process.send_signal(signal.SIGKILL)
