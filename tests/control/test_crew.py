"""What the workers are told about rollouts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from proxy.control.channel import Link
from proxy.control.hearing import Hearing
from proxy.control.processes import Process
from proxy.control.pulse import Pulse
from proxy.control.supervisor.changes import Changes
from proxy.control.supervisor.crew import Crew
from proxy.core.settings import ServerTimeouts
from proxy.core.wire.messages import Apply, EndpointPosition, Hello, Positions

APPLY = Apply("h", 1, {})


def at(generation: int) -> Positions:
    return Positions(generation, [EndpointPosition("GET /a", 100, "1")])


class Told:
    """A worker's connection that notes what is sent."""

    def __init__(self, pid: int, *, newer: bool) -> None:
        self.hello = Hello(0, pid, f"i{pid}", "test", takes_positions=newer, takes_values=newer)
        self.sent: list[object] = []
        self.listener = self
        self.send = self.sent.append

    def close(self) -> None:
        """As the listening socket that came with it."""

    def abort(self) -> None:
        """Of no use here."""


class Ran:
    def __init__(self, pid: int) -> None:
        self.pid = pid


@pytest.fixture
def crew() -> Crew:
    crew = Crew(Changes(), Pulse(Hearing()))
    for pid in (1, 2):
        crew.join(pid, cast(Process, Ran(pid)))
    return crew


def connect(crew: Crew, pid: int, *, newer: bool = True) -> list[Any]:
    told = Told(pid, newer=newer)
    crew.attach(crew.by_pid[pid], cast(Link, told))
    return told.sent


def test_those_that_are_there_and_those_that_come_are_told_the_newest(crew: Crew) -> None:
    first = connect(crew, 1)
    crew.publish(APPLY, ServerTimeouts())
    crew.place(at(1))
    crew.place(at(2))
    assert first == [APPLY, at(1), at(2)]
    assert connect(crew, 2) == [at(2), APPLY]  # it serves with them from the start


def test_one_of_an_older_version_is_told_nothing_that_it_would_hang_up_for(crew: Crew) -> None:
    older = connect(crew, 1, newer=False)
    crew.publish(APPLY, ServerTimeouts())
    crew.place(at(1))
    assert older == [APPLY]
    assert connect(crew, 2, newer=False) == [APPLY]


def test_one_that_takes_values_gets_those_and_another_one_the_document(crew: Crew) -> None:
    older, newer = connect(crew, 1, newer=False), connect(crew, 2)
    crew.publish(
        Apply("h", 1, {"unlisted": "404"}, "state", {"unlisted": "404", "phases": {}}), ServerTimeouts()
    )
    assert older == [Apply("h", 1, {"unlisted": "404"}, "state")]
    assert newer == [Apply("h", 1, {}, "state", {"unlisted": "404", "phases": {}})]
