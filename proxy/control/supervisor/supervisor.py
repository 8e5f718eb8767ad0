"""The workers of one listening socket, as the rest of the control process sees them."""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence

from proxy.control.channel import Links
from proxy.control.collect import Collector
from proxy.control.pulse import Pulse
from proxy.control.supervisor.changes import Changes
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.links import WorkerLinks
from proxy.control.supervisor.member import Member
from proxy.control.supervisor.retirement import Retirement
from proxy.control.supervisor.roll import Restart, Roll
from proxy.control.supervisor.slots import Slots
from proxy.control.supervisor.sockets import Sockets
from proxy.control.supervisor.unclaimed import Unclaimed
from proxy.core.settings import ServerTimeouts
from proxy.core.wire.messages import Apply, Positions


def supervise(command: Sequence[str], channel: str, collector: Collector, pulse: Pulse) -> Supervisor:
    """Its parts, from the ground up. `command` starts a worker that connects to `channel`."""
    changes, sockets = Changes(), Sockets()
    unclaimed = Unclaimed(changes)
    crew = Crew(changes, pulse)
    retirement = Retirement(crew)
    slots = Slots(command, channel, crew, retirement, sockets, unclaimed, collector)
    links = WorkerLinks(crew, slots, sockets, unclaimed, collector)
    return Supervisor(
        crew, retirement, slots, links, Roll(crew, retirement, slots, sockets), sockets, unclaimed
    )


class Supervisor:
    """`links` is who the channel tells about connections; `unclaimed` who is connected without a slot."""

    def __init__(
        self,
        crew: Crew,
        retirement: Retirement,
        slots: Slots,
        links: Links,
        roll: Roll,
        sockets: Sockets,
        unclaimed: Unclaimed,
    ) -> None:
        self._crew = crew
        self._retirement = retirement
        self._slots = slots
        self._roll = roll
        self.links = links
        self.sockets = sockets
        self.unclaimed = unclaimed
        self.pulse = crew.pulse

    @property
    def draining(self) -> bool:
        return self._crew.draining

    def workers(self) -> list[Member]:
        """Living workers, by number."""
        return self._crew.workers()

    def unready(self) -> str:
        """Why clients cannot be served as they should, in words; "" if they can."""
        return self._crew.unready()

    async def ready(self) -> None:
        """Until a worker serves the newest snapshot."""
        await self._crew.changes.until(lambda: not self._crew.unready())

    def start(self, listener: socket.socket, count: int) -> None:
        """Fills slots 0 to count - 1: with orphans on the same socket if there are any, otherwise new ones.

        Call `publish` before.
        """
        self.sockets.take(listener)
        self._slots.start(count)

    def take_over(
        self, listener: socket.socket, previous: socket.socket | None, pids: Collection[int]
    ) -> None:
        """Before a roll: every orphan keeps its slot, whichever socket it has. Call `publish` before.

        `previous` is the socket that they were started with, if it is not `listener`. Of `pids`, those that
        have not connected go too: they had been draining, or died.
        """
        self.sockets.take(listener, previous)
        self._slots.take_over(pids)

    async def roll(self, restart: Restart, count: int) -> Restart:
        """Replaces the workers of slots 0 to count - 1 and drains those beyond; returns how it ended."""
        return await self._roll.run(restart, count)

    def publish(self, newest: Apply, timeouts: ServerTimeouts) -> None:
        """Sends the snapshot to every worker; those that connect later get it then."""
        self._crew.publish(newest, timeouts)

    def place(self, positions: Positions) -> None:
        """Sends where rollouts stand to every worker; those that connect later get it then."""
        self._crew.place(positions)

    async def settled(self, timeout: float) -> list[Member]:
        """Waits until every connected worker serves the newest snapshot; returns those that do not."""
        behind = self._crew.behind
        await self._crew.changes.until(lambda: all(worker.refused for worker in behind()), timeout)
        return behind()

    async def watch(self) -> None:
        """Replaces workers that hang; until cancelled."""
        await self.pulse.watch(self._crew.workers)

    def reopen_logs(self) -> None:
        """Tells every worker to reopen its access log."""
        self._crew.reopen_logs()

    async def drain(self) -> None:
        """Lets every worker finish what is in flight, within the drain timeout, then ends it."""
        self._crew.draining = True
        self.sockets.close()
        self._slots.dismiss_all()
        await self._retirement.drain_all()
        await self.kill()

    async def kill(self) -> None:
        """Ends every worker at once and forgets the slots."""
        self._crew.draining = True
        await self._retirement.kill_all()
        await self._slots.forget()
