"""What workers say: that they are there, what they serve and have counted, that they are gone."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.control.channel import Link, Links
from proxy.control.collect import Collector
from proxy.control.log import log
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.member import Member
from proxy.control.supervisor.slots import Slots
from proxy.control.supervisor.sockets import Sockets
from proxy.control.supervisor.unclaimed import Unclaimed
from proxy.core.wire.messages import Applied, Drained, FromWorker, Refused, Stats

UNCLAIMED_GRACE: Final = 1.0  # seconds


class WorkerLinks(Links):
    def __init__(
        self, crew: Crew, slots: Slots, sockets: Sockets, unclaimed: Unclaimed, collector: Collector
    ) -> None:
        self._crew = crew
        self._slots = slots
        self._sockets = sockets
        self._unclaimed = unclaimed
        self._collector = collector

    def on_hello(self, link: Link) -> None:
        hello = link.hello
        self._collector.joined(hello.incarnation, fresh=not hello.hash)
        worker = self._crew.by_pid.get(hello.pid)
        if worker is not None:
            self._crew.attach(worker, link)
            return
        self._unclaimed.add(link)
        if self._crew.draining:
            self._slots.dismiss(link)
        elif self._sockets.current() is not None:
            asyncio.get_running_loop().call_later(UNCLAIMED_GRACE, self._slots.dismiss, link)
        self._crew.changes.tell()

    def on_message(self, link: Link, message: FromWorker) -> None:
        if isinstance(message, Stats):
            self._collector.record(link.hello.incarnation, message)
        worker = self._crew.by_pid.get(link.hello.pid)
        if worker is None or worker.link is not link:
            return
        self._crew.pulse.heard(worker)
        self._take_in(worker, message)

    def on_lost(self, link: Link) -> None:
        link.listener.close()
        self._unclaimed.remove(link)
        worker = self._crew.by_pid.get(link.hello.pid)
        if worker is None:
            self._collector.left(link.hello.incarnation)
        elif worker.link is link:
            worker.link = None
        self._crew.changes.tell()

    def _take_in(self, worker: Member, message: FromWorker) -> None:
        match message:
            case Applied():
                worker.hash, worker.generation, worker.refused = message.hash, message.generation, ""
                self._crew.changes.tell()
            case Refused():
                worker.refused = message.error
                log.error("worker %d refused configuration %s: %s", worker.slot, message.hash, message.error)
                self._crew.changes.tell()
            case Stats():
                worker.connections, worker.tasks = message.connections, message.tasks
            case Drained():
                log.info("worker %d (pid %d) has finished its requests", worker.slot, worker.pid)
