"""Where rollouts stand, as a worker takes it: at any time, the newest only, and while it serves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.core.routing.snapshot import SLICE, Snapshot
from proxy.core.wire.messages import (
    Applied,
    Apply,
    EndpointPosition,
    Hello,
    Positions,
    Stats,
    UnitReport,
)
from proxy.edge import applying
from proxy.edge.applying import Applying
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, answering, ok
from tests.edge.test_worker import Control
from tests.support.rollouts import planned

READ = "GET /a"
compiled = applying.compile_in_slices


@pytest.fixture(autouse=True)
def _all_in_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_in_slices(document: dict[str, Any], hash: str) -> Iterator[Snapshot | None]:
        for snapshot in compiled(document, hash):
            yield None if snapshot is None else planned(snapshot)

    monkeypatch.setattr(applying, "compile_in_slices", compile_in_slices)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path / "c")
    try:
        yield control
    finally:
        control.close()


class Sides:
    """Both backends, which say who they are, and a configuration with them."""

    def __init__(self, stage: Stage) -> None:
        self.urls = {name: stage.upstream(answering(ok(name.encode()))).url for name in ("legacy", "async")}

    def apply(self, generation: int = 1, endpoints: int = 1) -> Apply:
        names = [READ, *(f"GET /more{number}" for number in range(1, endpoints))]
        document = {
            "backends": {name: {"url": url} for name, url in self.urls.items()},
            "sticky": {"key": ["header:x-user-id"]},
            "endpoints": {name: {"weight": 0} for name in names},
        }
        return Apply(f"h{generation}", generation, document)


def at(generation: int, weight: int, epoch: str = "1.1", endpoints: int = 1) -> Positions:
    names = [READ, *(f"GET /more{number}" for number in range(1, endpoints))]
    return Positions(generation, [EndpointPosition(name, weight, epoch) for name in names])


def served_by(control: Control, user: str = "ann") -> str:
    with contextlib.closing(control.connect()) as client:
        client.send(f"GET /a HTTP/1.1\r\nHost: h\r\nx-user-id: {user}\r\n\r\n".encode())
        return client.response().body.decode()


def units(control: Control, *, epoch: str) -> UnitReport:
    """The next report of that epoch in which somebody was active."""
    while True:
        stats = control.hear(skip=Hello)
        assert isinstance(stats, Stats)
        for each in stats.units:
            if each.epoch == epoch and each.active:
                return each


def test_it_says_that_it_takes_them(control: Control) -> None:
    hello = control.hear()
    assert isinstance(hello, Hello)
    assert hello.takes_positions


def test_they_come_before_the_first_configuration(control: Control, stage: Stage) -> None:
    control.hear()
    control.say(at(1, 10_000))
    control.say(Sides(stage).apply())
    applied = control.hear()
    assert isinstance(applied, Applied)
    assert applied.hash == "h1"
    assert served_by(control) == "async"
    assert units(control, epoch="1.1").active.count(0) == 9_999


def test_they_come_right_after_a_configuration_and_hold_for_the_next(control: Control, stage: Stage) -> None:
    """That each is in force, the report of its epoch tells."""
    control.hear()
    sides = Sides(stage)
    control.say(sides.apply())
    control.say(at(1, 10_000))
    assert isinstance(control.hear(), Applied)
    control.say(sides.apply(2))
    assert isinstance(control.hear(), Applied)
    assert served_by(control) == "async"
    units(control, epoch="1.1")


def test_older_ones_are_left_out(control: Control, stage: Stage) -> None:
    control.hear()
    sides = Sides(stage)
    control.say(at(7, 10_000))
    control.say(at(6, 0))
    control.say(sides.apply())
    assert isinstance(control.hear(), Applied)
    assert served_by(control) == "async"
    control.say(at(5, 0))
    control.say(sides.apply(2))  # answered only after what came before it
    assert isinstance(control.hear(), Applied)
    assert served_by(control) == "async"


def test_a_message_of_a_type_that_it_does_not_know_is_left_out(control: Control, stage: Stage) -> None:
    class Unheard(msgspec.Struct, tag=True, tag_field="type"):
        of: int = 1

    control.hear()
    strange: Any = Unheard()
    control.say(strange)
    control.say(Sides(stage).apply())
    assert isinstance(control.hear(), Applied)  # on the same connection
    assert served_by(control) == "legacy"


def test_weights_move_under_load_and_no_request_is_lost_or_misrouted(control: Control, stage: Stage) -> None:
    """Connections go on meanwhile, each with one user after the other. At the end all are on async."""
    control.hear()
    sides = Sides(stage)
    control.say(sides.apply(endpoints=4 * SLICE))
    assert isinstance(control.hear(), Applied)
    stop, wrong, answers = threading.Event(), list[str](), [0] * 4

    def ask(number: int) -> None:
        seen: dict[int, str] = {}
        with contextlib.closing(control.connect()) as client:
            while not stop.is_set():
                user = answers[number] % 50
                client.send(f"GET /a HTTP/1.1\r\nHost: h\r\nx-user-id: {user}\r\n\r\n".encode())
                response = client.response()
                backend = response.body.decode()
                if response.status != 200 or response.header("x-served-by") != backend:
                    wrong.append(f"{response.status} {backend}")
                if seen.get(user) == "async" and backend != "async":  # weights only rise
                    wrong.append(f"{user} went back")
                seen[user] = backend
                answers[number] += 1

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for generation in range(1, 101):
        control.say(at(generation, 100 * generation, f"1.{generation}", 4 * SLICE))
        if generation % 20 == 0:
            control.say(sides.apply(generation, endpoints=4 * SLICE))
            assert isinstance(control.hear(), Applied)
    stop.set()
    for thread in threads:
        thread.join(WAIT)
    assert wrong == []
    assert min(answers) > 0
    assert {served_by(control, str(user)) for user in range(50)} == {"async"}


# without a worker around it


class Told:
    """What `Applying` put into force, in its order."""

    def __init__(self) -> None:
        self.turns = 0
        self.snapshots: list[tuple[str, Snapshot]] = []
        self.refused: list[str] = []
        self.applying = Applying(self._apply, self._place, self._refuse)

    def _apply(self, message: Apply, snapshot: Snapshot) -> Snapshot | None:
        self.snapshots.append(("applied", snapshot))
        return None

    def _place(self, snapshot: Snapshot) -> Snapshot | None:
        self.snapshots.append(("placed", snapshot))
        return None

    def _refuse(self, message: Apply, error: Exception) -> None:
        self.refused.append(message.hash)

    async def rest(self) -> None:
        """Until there is nothing more to do."""
        async with asyncio.timeout(WAIT):
            while self.applying._task is not None:
                self.turns += 1
                await asyncio.sleep(0)

    def tell(self) -> list[tuple[str, str, int]]:
        return [(what, each.hash, each.endpoints[0].weight) for what, each in self.snapshots]


def test_many_positions_are_put_into_force_in_slices(stage: Stage) -> None:
    async def run() -> None:
        told, sides = Told(), Sides(stage)
        told.applying.take(sides.apply(endpoints=10 * SLICE))
        await told.rest()
        told.turns = 0
        told.applying.take_positions(at(1, 500, endpoints=10 * SLICE))
        await told.rest()
        assert told.turns >= 10
        assert told.tell() == [("applied", "h1", 0), ("placed", "h1", 500)]

    asyncio.run(run())


def test_newer_positions_end_the_work_on_those_before(stage: Stage) -> None:
    async def run() -> None:
        told, sides = Told(), Sides(stage)
        told.applying.take(sides.apply(endpoints=10 * SLICE))
        await told.rest()
        told.applying.take_positions(at(1, 500, endpoints=10 * SLICE))
        await asyncio.sleep(0)
        told.applying.take_positions(at(2, 700, endpoints=10 * SLICE))
        await told.rest()
        assert told.tell()[1:] == [("placed", "h1", 700)]

    asyncio.run(run())


def test_positions_that_say_the_same_again_cost_nothing(stage: Stage) -> None:
    async def run() -> None:
        told, sides = Told(), Sides(stage)
        told.applying.take(sides.apply())
        told.applying.take_positions(at(1, 500))
        await told.rest()
        told.applying.take_positions(at(2, 500))
        await told.rest()
        told.applying.take_positions(at(1, 900))
        await told.rest()
        assert told.tell() == [("applied", "h1", 500)]

    asyncio.run(run())


def test_what_nobody_names_any_more_has_the_files_weight_again(stage: Stage) -> None:
    async def run() -> None:
        told = Told()
        told.applying.take(Sides(stage).apply())
        told.applying.take_positions(at(1, 500))
        await told.rest()
        told.applying.take_positions(Positions(2, []))
        await told.rest()
        assert told.tell() == [("applied", "h1", 500), ("placed", "h1", 0)]

    asyncio.run(run())


def test_a_bad_configuration_does_not_keep_positions_from_the_good_one(stage: Stage) -> None:
    async def run() -> None:
        told = Told()
        told.applying.take(Sides(stage).apply())
        await told.rest()
        told.applying.take(Apply("bad", 2, {"backends": {"legacy": {"url": "nonsense://"}}}))
        told.applying.take_positions(at(1, 500))
        await told.rest()
        assert told.refused == ["bad"]
        assert told.tell() == [("applied", "h1", 0), ("placed", "h1", 500)]

    asyncio.run(run())


def test_a_fault_in_placing_them_leaves_what_is_in_use(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        told = Told()
        told.applying.take(Sides(stage).apply())
        await told.rest()
        broken: Any = [EndpointPosition(READ, 500, "1", None, [1])]  # type: ignore[list-item]
        told.applying.take_positions(Positions(1, broken))
        await told.rest()
        told.applying.take_positions(at(2, 700))
        await told.rest()
        assert told.tell() == [("applied", "h1", 0), ("placed", "h1", 700)]

    asyncio.run(run())
