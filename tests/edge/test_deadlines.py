from __future__ import annotations

import asyncio

from proxy.edge.deadlines import NEVER, Sweeper


class Item:
    def __init__(self, deadline: float, sweeper: Sweeper) -> None:
        self.deadline = deadline
        self.calls: list[float] = []
        self.called = asyncio.Event()
        self._sweeper = sweeper

    def on_deadline(self, now: float) -> None:
        self.calls.append(now)
        self.called.set()
        self.deadline = NEVER
        self._sweeper.items.discard(self)


def test_those_whose_time_has_come_are_called_and_may_leave_the_set() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sweeper = Sweeper(loop, 0.005)
        now = loop.time()
        due, other, later, never = (Item(at, sweeper) for at in (now, now + 0.01, now + 3600, NEVER))
        sweeper.items.update([due, other, later, never])
        async with asyncio.timeout(5):
            await other.called.wait()
        sweeper.stop()
        assert [len(item.calls) for item in (due, other, later, never)] == [1, 1, 0, 0]
        assert other.calls[0] >= now + 0.01
        assert sweeper.items == {later, never}

    asyncio.run(main())


def test_a_stopped_sweeper_calls_nobody() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stopped, running = Sweeper(loop, 0.001), Sweeper(loop, 0.001)
        ignored, seen = Item(0.0, stopped), Item(0.0, running)
        stopped.items.add(ignored)
        running.items.add(seen)
        stopped.stop()
        async with asyncio.timeout(5):
            await seen.called.wait()
        running.stop()
        assert ignored.calls == []

    asyncio.run(main())
