"""The living workers: who they are, which configuration they should serve, and whether they do."""

from __future__ import annotations

import signal

from proxy.control.channel import Link
from proxy.control.processes import Process
from proxy.control.pulse import Pulse
from proxy.control.supervisor.changes import Changes
from proxy.control.supervisor.member import Member
from proxy.core.settings import ServerTimeouts
from proxy.core.wire.messages import Apply, Drain, Positions, Reopen, fitting


class Crew:
    """`by_pid` is who lives. `draining`: all are to go, and nobody takes their place."""

    def __init__(self, changes: Changes, pulse: Pulse) -> None:
        self.changes = changes
        self.pulse = pulse
        self.by_pid: dict[int, Member] = {}
        self.drain_timeout = 0.0
        self.draining = False
        self._newest: Apply | None = None
        self._positions: Positions | None = None

    def __repr__(self) -> str:
        state = "draining" if self.draining else "up"
        return f"<Crew {state}: {len(self.by_pid)} workers, {len(self.behind())} behind>"

    def workers(self) -> list[Member]:
        """By number."""
        return sorted(self.by_pid.values(), key=lambda worker: worker.slot)

    def join(self, slot: int, process: Process) -> Member:
        worker = Member(slot, process)
        self.by_pid[worker.pid] = worker
        return worker

    def kept(self, slot: int) -> list[Member]:
        """Those that are replaced in this slot when they die: one, but for a moment of a roll."""
        return [worker for worker in self.by_pid.values() if worker.kept and worker.slot == slot]

    def up(self, worker: Member) -> bool:
        """Whether it serves the newest snapshot."""
        return self._newest is not None and worker.serves(self._newest) and not worker.ended

    def behind(self) -> list[Member]:
        """Those that are connected and do not serve the newest snapshot."""
        newest = self._newest
        return [
            worker
            for worker in self.workers()
            if newest is not None and worker.link and not worker.serves(newest)
        ]

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
        return f"every worker hangs: none has reported anything for {min(silent):.0f} s"

    def publish(self, newest: Apply, timeouts: ServerTimeouts) -> None:
        """Sends the snapshot to every worker; those that connect later get it then."""
        self._newest = newest
        self.drain_timeout = timeouts.drain
        self.pulse.bound = timeouts.worker
        for worker in self.by_pid.values():
            self._update(worker)

    def place(self, positions: Positions) -> None:
        """Tells every worker where rollouts stand; those that connect later hear it then."""
        self._positions = positions
        for worker in self.by_pid.values():
            self._tell_positions(worker)

    def reopen_logs(self) -> None:
        """Tells every worker to reopen its access log."""
        for worker in self.by_pid.values():
            if worker.link is not None:
                worker.link.send(Reopen())

    def attach(self, worker: Member, link: Link) -> None:
        """This is the worker's connection now; it is told what it has missed."""
        link.listener.close()
        if worker.link is not None:
            worker.link.abort()
        worker.link = link
        self.pulse.heard(worker)
        worker.incarnation = link.hello.incarnation
        worker.hash, worker.generation = link.hello.hash, link.hello.generation
        self._tell_positions(worker)  # before the snapshot, which is served with them from the start
        if self.draining or worker.retired:
            self.tell_to_drain(worker)
        else:
            self._update(worker)
        self.changes.tell()

    def tell_to_drain(self, worker: Member) -> None:
        """One that has lost its connection is told when it is back."""
        if worker.link is not None:
            worker.link.send(Drain(timeout=self.drain_timeout, patient=not self.draining))
        elif self.draining or not worker.incarnation:
            worker.process.send_signal(signal.SIGTERM)

    def _update(self, worker: Member) -> None:
        newest = self._newest
        if newest is None or worker.link is None:
            return
        worker.refused = ""
        if not worker.serves(newest):
            worker.link.send(fitting(newest, takes_values=worker.link.hello.takes_values))

    def _tell_positions(self, worker: Member) -> None:
        """One of an older version does not know what they are; it serves the file's weights."""
        link = worker.link
        if self._positions is not None and link is not None and link.hello.takes_positions:
            link.send(self._positions)
