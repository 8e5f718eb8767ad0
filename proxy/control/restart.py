"""Decides whether a rolling restart may begin: validates the file and tries the new code before giving
anything up."""

from __future__ import annotations

import os
from collections.abc import Callable

from proxy.control.errors import Refusal
from proxy.control.handover import command
from proxy.control.log import log
from proxy.control.preflight import Bound, preflight
from proxy.control.reload import Reloader
from proxy.control.supervisor.roll import Restart
from proxy.control.supervisor.supervisor import Supervisor
from proxy.core.traffic.authors import NOBODY, Author


class Restarter:
    """`current` is the restart that this process was started for; `ready` is told of the one to come."""

    def __init__(
        self,
        reloader: Reloader,
        supervisor: Supervisor,
        runtime_dir: str,
        current: Restart | None = None,
        ready: Callable[[Restart], None] = lambda restart: None,
    ) -> None:
        self.current = current
        self._reloader = reloader
        self._supervisor = supervisor
        self._runtime_dir = runtime_dir
        self._ready = ready
        self._preparing = False

    async def request(self, trigger: str, author: Author = NOBODY) -> Restart:
        """Judges the file, tries the new code, and lets the process be replaced. Raises Refusal."""
        if self._preparing or (self.current is not None and self.current.state == "rolling"):
            raise Refusal(409, "a restart is already in progress")
        self._preparing = True
        try:
            restart = await self._prepare(trigger, author)
        except BaseException:
            self._preparing = False
            raise
        log.info(
            "rolling restart (%s): replacing this process, then %d workers", trigger, len(restart.workers)
        )
        self._ready(restart)
        return restart

    def _listen(self) -> str:
        """The setting of the socket in use: that from the start, unless its roll had to go back."""
        if self.current is not None and self._supervisor.sockets.returned:
            return self.current.listen
        return self._reloader.started.server.listen

    async def _prepare(self, trigger: str, author: Author) -> Restart:
        verdict = await self._reloader.reload(trigger, author)
        if verdict.loaded is None:
            raise Refusal(422, "the configuration file was refused; nothing was changed", verdict.errors)
        started = self._reloader.started.server
        listen = self._listen()
        bound = Bound(listen, started.admin, self._runtime_dir, started.state)
        problem = await preflight(command(), bound)
        if problem:
            log.error("restart refused (%s): %s", trigger, problem)
            raise Refusal(422, f"the next process would not start; nothing was changed: {problem}")
        admin = self._reloader.running.snapshot.server.admin
        return Restart(
            id=os.urandom(6).hex(),
            workers=tuple(worker.pid for worker in self._supervisor.workers()),
            listen=listen,
            admin="" if admin == started.admin else admin,
        )
