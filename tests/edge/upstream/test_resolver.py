from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from proxy.edge.upstream import resolver as module
from proxy.edge.upstream.resolver import MOST, PATIENCE, RETRY, TTL, Resolver

T = TypeVar("T")


class Clock:
    """Set by hand; tasks run on the real loop."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(coroutine)


class Names:
    """A name service that answers as told. What `hangs` is answered once `answer` is called."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[str]] = {"a.example": ["192.0.2.1"]}
        self.hangs: set[str] = set()
        self._released = asyncio.Event()

    async def look_up(self, host: str) -> list[str]:
        self.asked.append(host)
        if host in self.hangs:
            await self._released.wait()
        if host not in self.answers:
            raise OSError("no such host")
        return self.answers[host]

    def answer(self) -> None:
        self.hangs.clear()
        self._released.set()


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.names = Names()
        self.changes: list[tuple[str, tuple[str, ...]]] = []
        self.resolver = Resolver(
            self.clock,  # type: ignore[arg-type]
            lambda host, addresses: self.changes.append((host, addresses)),
            self.names.look_up,
        )

    async def resolve(self, host: str = "a.example") -> tuple[str, ...]:
        async with asyncio.timeout(10):
            return await self.resolver.resolve(host)

    async def settled(self) -> None:
        """All lookups that are under way are over."""
        async with asyncio.timeout(10):
            await asyncio.gather(*(name.lookup for name in self.resolver._names.values() if name.lookup))


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.1", "127.0.0.1")]
)
def test_addresses_are_not_looked_up(host: str, address: str) -> None:
    async def run() -> None:
        scene = Scene()
        for _ in range(2):
            assert await scene.resolve(host) == (address,)
            scene.clock.now += 1e6
            scene.resolver.renew()
        assert scene.names.asked == []

    asyncio.run(run())


def test_an_answer_is_remembered_for_a_few_seconds_and_then_followed() -> None:
    async def run() -> None:
        scene = Scene()
        first = await scene.resolve()
        assert first == ("192.0.2.1",)
        scene.clock.now += TTL - 0.1
        assert await scene.resolve() is first
        assert scene.names.asked == ["a.example"]
        scene.names.answers["a.example"] = ["192.0.2.2"]
        scene.clock.now += 0.2
        assert await scene.resolve() == ("192.0.2.2",)
        assert scene.changes == [("a.example", ("192.0.2.2",))]

    asyncio.run(run())


def test_a_change_is_also_noticed_without_anybody_asking() -> None:
    async def run() -> None:
        scene = Scene()
        first = await scene.resolve()
        scene.clock.now += TTL
        scene.resolver.renew()
        await scene.settled()
        assert scene.changes == []
        assert await scene.resolve() is first  # the same as long as nothing has changed
        scene.names.answers["a.example"] = ["192.0.2.1", "192.0.2.7"]
        scene.resolver.renew()  # too early: nothing is asked
        assert len(scene.names.asked) == 2
        scene.clock.now += TTL
        scene.resolver.renew()
        await scene.settled()
        assert scene.changes == [("a.example", ("192.0.2.1", "192.0.2.7"))]

    asyncio.run(run())


def test_all_addresses_come_once_each_but_not_any_number_of_them() -> None:
    async def run() -> None:
        scene = Scene()
        scene.names.answers["two.example"] = ["192.0.2.2", "192.0.2.1", "192.0.2.2"]
        assert await scene.resolve("two.example") == ("192.0.2.1", "192.0.2.2")
        scene.names.answers["many.example"] = [f"192.0.2.{n}" for n in range(200)]
        assert len(await scene.resolve("many.example")) == MOST

    asyncio.run(run())


def test_a_failed_lookup_leaves_the_last_good_addresses() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.resolve()
        good = scene.names.answers.pop("a.example")
        scene.clock.now += TTL
        for _ in range(3):
            assert await scene.resolve() == ("192.0.2.1",)
        assert len(scene.names.asked) == 2  # name servers are not asked again for every request
        scene.names.answers["a.example"] = ["192.0.2.3"]
        scene.clock.now += RETRY
        await scene.resolve()
        await scene.settled()
        assert await scene.resolve() == ("192.0.2.3",)
        assert good != ["192.0.2.3"]

    asyncio.run(run())


def test_a_lookup_that_hangs_is_waited_for_once_and_briefly_where_there_is_a_good_address() -> None:
    async def run() -> None:
        scene = Scene()
        loop = asyncio.get_running_loop()
        await scene.resolve()
        scene.names.hangs.add("a.example")
        scene.clock.now += TTL
        began = loop.time()
        assert await scene.resolve() == ("192.0.2.1",)
        assert loop.time() - began >= PATIENCE * 0.9  # it might have been quick
        later = scene.resolver.resolve("a.example")
        with pytest.raises(StopIteration) as end:  # the first step is the last one: it waits for nothing
            later.send(None)
        assert end.value.value == ("192.0.2.1",)
        scene.names.answers["a.example"] = ["192.0.2.4"]
        scene.names.answer()
        await scene.settled()
        assert await scene.resolve() == ("192.0.2.4",)
        assert len(scene.names.asked) == 2

    asyncio.run(run())


def test_a_name_that_hangs_holds_up_no_other_and_is_asked_for_once() -> None:
    async def run() -> None:
        scene = Scene()
        scene.names.hangs.add("b.example")
        scene.names.answers["b.example"] = ["192.0.2.5"]
        stuck = [asyncio.create_task(scene.resolve("b.example")) for _ in range(50)]
        assert await scene.resolve() == ("192.0.2.1",)
        stuck[0].cancel()  # one that gives up takes nothing from the others
        scene.names.answer()
        found = await asyncio.gather(*stuck, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert set(found[1:]) == {("192.0.2.5",)}
        assert scene.names.asked.count("b.example") == 1

    asyncio.run(run())


def test_a_name_that_was_never_resolved_is_an_error_and_asked_for_again_after_a_moment() -> None:
    async def run() -> None:
        scene = Scene()
        for _ in range(3):
            with pytest.raises(OSError, match="no such host"):
                await scene.resolve("c.example")
        assert len(scene.names.asked) == 1
        scene.names.answers["c.example"] = ["192.0.2.9"]
        scene.clock.now += RETRY
        assert await scene.resolve("c.example") == ("192.0.2.9",)

    asyncio.run(run())


def test_a_lookup_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 0.01)

    async def run() -> None:
        scene = Scene()
        scene.names.hangs.add("d.example")
        with pytest.raises(OSError, match=r"d\.example: no name server answered"):
            await scene.resolve("d.example")

    asyncio.run(run())


def test_the_hosts_of_this_machine_are_known_without_a_name_server() -> None:
    found = asyncio.run(module.look_up("localhost"))
    assert "127.0.0.1" in found


def test_what_cannot_be_a_name_is_an_error_like_any_other() -> None:
    with pytest.raises(OSError, match="cannot be resolved"):
        asyncio.run(module.look_up("a" * 300 + ".example"))
