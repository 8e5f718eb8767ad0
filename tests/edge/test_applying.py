"""Configurations with many endpoints: between two slices of the work the loop turns to others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.config import load_text
from proxy.config.compile import SLICE
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Apply
from proxy.edge import applying
from proxy.edge.applying import Applying

MANY = 50 * SLICE
BACKENDS = {"legacy": {"url": "http://127.0.0.1:1"}, "async": {"url": "http://127.0.0.1:2"}}


def configuration(hash: str, endpoints: int, **more: Any) -> Apply:
    listed = {f"GET /res{n}/{{id}}": {"weight": n % 100} for n in range(endpoints)}
    return Apply(hash, 1, {"backends": BACKENDS, "endpoints": listed, **more})


class Worker:
    """Notes what it is told, and how often its loop has turned by then."""

    def __init__(self) -> None:
        self.turns = 0
        self.told: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()
        self.snapshots: list[Snapshot] = []
        self.applying = Applying(self._apply, self._place, self._refuse)
        self._turning = asyncio.create_task(self._turn())

    async def _turn(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turns += 1

    def _apply(self, message: Apply, snapshot: Snapshot) -> Snapshot | None:
        self.snapshots.append(snapshot)
        self.told.put_nowait(("applied", message.hash, self.turns))
        return self.snapshots[-2] if len(self.snapshots) > 1 else None

    def _place(self, snapshot: Snapshot) -> Snapshot | None:
        self.snapshots.append(snapshot)
        self.told.put_nowait(("placed", snapshot.hash, self.turns))
        return self.snapshots[-2]

    def _refuse(self, message: Apply, error: Exception) -> None:
        self.told.put_nowait(("refused", message.hash, self.turns))

    async def hear(self) -> tuple[str, str, int]:
        async with asyncio.timeout(30):
            return await self.told.get()


def test_the_loop_turns_after_every_slice_of_the_endpoints() -> None:
    async def run() -> None:
        worker = Worker()
        worker.applying.take(configuration("h", MANY))
        what, hash, turns = await worker.hear()
        assert (what, hash) == ("applied", "h")
        assert turns >= MANY / SLICE
        [snapshot] = worker.snapshots
        assert len(snapshot.endpoints) == MANY
        assert snapshot.hash == "h"

    asyncio.run(run())


def test_a_newer_configuration_ends_the_work_on_the_one_before() -> None:
    async def run() -> None:
        worker = Worker()
        worker.applying.take(configuration("first", MANY))
        await asyncio.sleep(0)
        worker.applying.take(configuration("second", 1))
        what, hash, turns = await worker.hear()
        assert (what, hash) == ("applied", "second")
        assert turns < MANY / SLICE
        worker.applying.take(configuration("third", 1))
        assert (await worker.hear())[:2] == ("applied", "third")
        assert worker.told.empty()

    asyncio.run(run())


@pytest.mark.parametrize(
    "more", [{"backends": {"legacy": {"url": "nonsense://"}}}, {"endpoints": {"GET /a": {"weight": -1}}}]
)
def test_what_cannot_be_compiled_is_refused_and_the_next_one_is_taken(more: dict[str, Any]) -> None:
    async def run() -> None:
        worker = Worker()
        bad = Apply("bad", 1, {"backends": BACKENDS, **more})
        worker.applying.take(bad)
        assert (await worker.hear())[:2] == ("refused", "bad")
        worker.applying.take(configuration("good", 1))
        assert (await worker.hear())[:2] == ("applied", "good")

    asyncio.run(run())


def test_values_are_compiled_and_such_as_are_none_are_refused() -> None:
    async def run() -> None:
        worker = Worker()
        worker.applying.take(Apply("bad", 1, {}, "", {"endpoint": {}, "endpoints": {}}))
        assert (await worker.hear())[:2] == ("refused", "bad")
        text = f"backends: {BACKENDS}\nendpoints: {{GET /a: {{weight: 7}}}}"
        values = load_text(text, source="test", environ={}).values
        worker.applying.take(Apply("good", 1, {}, "", values))
        assert (await worker.hear())[:2] == ("applied", "good")
        assert [(each.name, each.weight) for each in worker.snapshots[-1].endpoints] == [("GET /a", 700)]

    asyncio.run(run())


def test_the_parts_of_what_was_replaced_are_let_go_in_turns() -> None:
    async def run() -> None:
        worker = Worker()
        worker.applying.take(configuration("old", 1))
        await worker.hear()
        before = worker.turns
        await applying._release([worker.snapshots.pop()])
        assert worker.turns - before >= 2

    asyncio.run(run())


def test_closing_ends_the_work() -> None:
    async def run() -> None:
        worker = Worker()
        worker.applying.take(configuration("h", MANY))
        await asyncio.sleep(0)
        await worker.applying.close()
        assert worker.told.empty()

    asyncio.run(run())
