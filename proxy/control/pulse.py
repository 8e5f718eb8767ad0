"""Detects workers that are alive but do nothing: stopped, or in a loop. Their clients would wait forever.

Each worker reports every second. One that has been silent for a while no longer counts as ready. One that
has been silent for `server.timeouts.worker` is killed; its slot (`supervisor/slots.py`) is then filled as
after any death, and what it had sent has an unknown outcome. Time in which this process itself was stopped,
or could not hear, does not count.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from typing import Final

from proxy.control.hearing import Hearing
from proxy.control.log import log
from proxy.control.supervisor.member import Member
from proxy.core.resilience.liveness import Awake, Life, life

TICK: Final = 0.25  # seconds between two looks
STEP: Final = 1.0  # seconds that may count between two looks: the loop is busy at times


class Pulse:
    """When each worker was last heard."""

    def __init__(self, hearing: Hearing, clock: Callable[[], float] = time.monotonic) -> None:
        self._hearing = hearing
        self._clock = clock
        self._awake = Awake(clock(), STEP)
        self.bound = 15.0  # seconds
        self.hung = 0  # workers that were killed for it

    def now(self) -> float:
        """Seconds for which this process has been awake."""
        return self._awake.at(self._clock())

    def heard(self, worker: Member) -> None:
        worker.heard = self.now()
        if worker.silent:
            worker.silent = False
            log.warning("worker %d (pid %d) answers again", worker.slot, worker.pid)

    def silence(self, worker: Member) -> float | None:
        """Seconds; None of one that is being started, or has said good-bye and is on its way out."""
        if not worker.hash or (worker.link is None and not worker.kept):
            return None
        return max(0.0, self.now() - worker.heard)

    def life(self, worker: Member) -> Life:
        silence = self.silence(worker)
        return "fresh" if silence is None else life(silence, self.bound)

    async def watch(self, workers: Callable[[], Iterable[Member]]) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self._awake.tick(self._clock(), counts=not self._hearing.deaf)
            for worker in workers():
                self._look(worker)

    def _look(self, worker: Member) -> None:
        state, silence = self.life(worker), self.silence(worker)
        if state == "fresh" or silence is None or worker.ended:
            return
        if not worker.silent:
            worker.silent = True
            log.error("worker %d (pid %d) has reported nothing for %.0f s", worker.slot, worker.pid, silence)
        if state == "hung" and not worker.killed:
            worker.killed = True
            self.hung += 1
            log.error(
                "worker %d (pid %d) hangs: it has reported nothing for %.0f s (server.timeouts.worker); "
                "killing it",
                worker.slot,
                worker.pid,
                silence,
            )
            worker.process.send_signal(signal.SIGKILL)
