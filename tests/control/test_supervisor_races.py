"""What processes rarely do at the same moment, with processes and connections that do it on demand."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, cast

import pytest

from proxy.control import processes
from proxy.control.channel import Link
from proxy.control.collect import Collector
from proxy.control.hearing import Hearing
from proxy.control.pulse import Pulse
from proxy.control.supervisor import roll
from proxy.control.supervisor.changes import Changes
from proxy.control.supervisor.crew import Crew
from proxy.control.supervisor.links import WorkerLinks
from proxy.control.supervisor.retirement import Retirement
from proxy.control.supervisor.roll import Roll
from proxy.control.supervisor.slots import Slots
from proxy.control.supervisor.sockets import Sockets
from proxy.control.supervisor.supervisor import Supervisor
from proxy.control.supervisor.unclaimed import Unclaimed
from proxy.core.settings import ServerTimeouts
from proxy.core.wire.messages import Applied, Apply, Drain, FromControl, Hello

NEWEST = Apply("hash", 1, {}, "")


class FakeProcess:
    """Started when the test says so; ends when killed, or by `end`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def wait(self) -> str:
        await self.ended.wait()
        return "ended"

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class FakeLink:
    """A connection that remembers what the worker was sent."""

    def __init__(self, slot: int, pid: int, hash: str = "") -> None:
        self.hello = Hello(slot, pid, f"incarnation {pid}", "test", hash, 1 if hash else 0)
        self.listener = socket.socket()
        self.sent: list[FromControl] = []

    def send(self, message: FromControl) -> None:
        self.sent.append(message)

    def abort(self) -> None:
        """There is nothing to abort."""


class Rehearsal:
    """A supervisor whose processes are numbered in the order in which they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[FakeProcess] = []
        changes, sockets, collector = Changes(), Sockets(), Collector()
        unclaimed = Unclaimed(changes)
        crew = Crew(changes, Pulse(Hearing()))
        self.retirement = Retirement(crew)
        slots = Slots(("worker",), "", crew, self.retirement, sockets, unclaimed, collector)
        links = WorkerLinks(crew, slots, sockets, unclaimed, collector)
        self.roll = Roll(crew, self.retirement, slots, sockets)
        self.supervisor = Supervisor(crew, self.retirement, slots, links, self.roll, sockets, unclaimed)
        self.supervisor.publish(NEWEST, ServerTimeouts(drain=0.0))
        monkeypatch.setattr(processes, "start", self._start)

    async def _start(self, command: Sequence[str], *, fd: int) -> FakeProcess:
        process = FakeProcess(len(self.made))
        self.made.append(process)
        await process.started.wait()
        return process

    def says_hello(self, slot: int, pid: int, hash: str = "") -> FakeLink:
        link = FakeLink(slot, pid, hash)
        self.supervisor.links.on_hello(cast(Link, link))
        return link

    async def asked_for(self, count: int) -> None:
        while len(self.made) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def up(self, number: int, slot: int = 0) -> None:
        """That process starts, connects and serves."""
        process = self.made[number]
        process.started.set()
        while process.pid not in [worker.pid for worker in self.supervisor.workers()]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        link = self.says_hello(slot, process.pid)
        self.supervisor.links.on_message(cast(Link, link), Applied("hash", 1))

    async def one_serves(self, listener: socket.socket) -> None:
        self.supervisor.start(listener, 1)
        await self.asked_for(1)
        await self.up(0)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(60)"))
    yield process
    process.kill()
    process.wait()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


def test_a_slot_that_a_roll_fills_while_its_dead_worker_is_started_again_has_one_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        with socket.socket() as listener:
            await rehearsal.one_serves(listener)
            rehearsal.made[0].ended.set()
            await rehearsal.asked_for(2)  # in its place, and slow to start
            rolling = asyncio.create_task(rehearsal.roll.replace(0))
            await rehearsal.asked_for(3)
            await rehearsal.up(2)
            assert await rolling == ""
            rehearsal.made[1].started.set()
            while not rehearsal.made[1].signals:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert rehearsal.made[1].signals == [signal.SIGTERM]
            assert rehearsal.made[2].signals == []
            assert [worker.pid for worker in rehearsal.supervisor.workers() if worker.kept] == [2]

    run(play())


def test_a_new_worker_that_says_nothing_stops_the_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        monkeypatch.setattr(roll, "START_TIMEOUT", 0.05)
        with socket.socket() as listener:
            rehearsal.supervisor.start(listener, 0)
            rolling = asyncio.create_task(rehearsal.roll.replace(0))
            await rehearsal.asked_for(1)
            rehearsal.made[0].started.set()
            assert await rolling == "did not come up: it does not serve after 0.05 s"
            assert signal.SIGKILL in rehearsal.made[0].signals

    run(play())


def test_a_worker_without_connection_is_told_to_drain_patiently_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        with socket.socket() as listener:
            await rehearsal.one_serves(listener)
            link = rehearsal.supervisor.workers()[0].link
            assert link is not None
            rehearsal.supervisor.links.on_lost(link)
            rehearsal.roll.shrink(0)
            assert rehearsal.made[0].signals == []
            assert rehearsal.says_hello(0, 0, "hash").sent == [Drain(timeout=0.0, patient=True)]

    run(play())


def test_an_orphan_without_a_slot_drains_patiently_and_is_killed_when_it_does_not(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        link = rehearsal.says_hello(7, sleeper.pid, "hash")
        with socket.socket() as listener:
            rehearsal.supervisor.start(listener, 0)
            assert link.sent == [Drain(timeout=0.0, patient=True)]
            await rehearsal.retirement.retired()
        assert rehearsal.supervisor.workers() == []

    run(play())


def test_a_child_from_before_the_exec_that_never_connects_is_ended_and_leaves_no_zombie(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        with socket.socket() as listener:
            rehearsal.supervisor.take_over(listener, None, [sleeper.pid])
            while processes.is_child(sleeper.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    run(play())


def test_an_orphan_that_comes_while_shutting_down_does_not_hold_that_up(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    async def play() -> None:
        rehearsal = Rehearsal(monkeypatch)
        rehearsal.says_hello(7, sleeper.pid, "hash")
        sleeper.kill()
        await rehearsal.supervisor.drain()
        assert rehearsal.supervisor.workers() == []

    run(play())
