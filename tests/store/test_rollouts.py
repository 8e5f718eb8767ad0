from __future__ import annotations

import asyncio
import stat

import pytest

from proxy.core.rollout.position import RolloutPosition
from proxy.store import rollouts
from proxy.store.places import is_sqlite, state_file
from proxy.store.rollouts import Freeze, Past, RolloutRow

pytestmark = pytest.mark.anyio

POSITION = RolloutPosition("GET /a", "careful", "running", "", 1, 100, 10.0, 10.0)
ROW = RolloutRow(POSITION, '{"failing":1}', {"digest": "x"})


async def test_a_position_comes_back_as_it_was(url: str) -> None:
    position = POSITION._replace(slow=0.25, legacy_bound=0.01, legacy_rate=12.5, approved=10_000, version="2")
    async with rollouts.opened(url) as engine, engine.begin() as connection:
        stored = await rollouts.swap(connection, ROW._replace(position=position))
    async with rollouts.opened(url) as engine, engine.connect() as connection:
        found = await rollouts.rows(connection)
    assert stored == RolloutRow(position._replace(generation=1), ROW.evidence, ROW.about)
    assert found == {"GET /a": stored}


async def test_of_two_that_decided_on_the_same_generation_one_is_told(url: str) -> None:
    async with rollouts.opened(url) as engine:

        async def swap(row: RolloutRow) -> RolloutRow | None:
            async with engine.begin() as connection:
                return await rollouts.swap(connection, row)

        first = await swap(ROW)
        assert first is not None
        assert await swap(ROW) is None
        both = await asyncio.gather(
            *(swap(first._replace(position=first.position._replace(weight=weight))) for weight in (500, 0))
        )
        (won,) = [each for each in both if each is not None]
        async with engine.connect() as connection:
            assert await rollouts.rows(connection) == {"GET /a": won}
        assert won.position.generation == 2


def test_members_that_a_later_version_has_added_are_left_out() -> None:
    text = rollouts.encoded(POSITION)[:-1] + ',"later":1}'
    assert rollouts.decoded(text) == POSITION


async def test_units_of_two_replicas_come_together(url: str) -> None:
    async with rollouts.opened(url) as engine:

        async def merge(found: dict[str, bytes]) -> None:
            async with engine.begin() as connection:
                await rollouts.merge_units(connection, "GET /a", "1.1", found)

        await asyncio.gather(
            merge({"active": b"\x01\x00", "unkeyed w1": b"1"}),
            merge({"active": b"\x02\x80", "failing": b"\x02\x00", "unkeyed w2": b"2"}),
        )
        await merge({"unkeyed w1": b"3"})
        async with engine.connect() as connection:
            found = await rollouts.units(connection, "GET /a", "1.1")
            other = await rollouts.units(connection, "GET /a", "1.2")
    assert found == {
        "active": b"\x03\x80",
        "failing": b"\x02\x00",
        "unkeyed w1": b"3",
        "unkeyed w2": b"2",
    }
    assert not other


async def test_units_of_epochs_that_are_over_go(url: str) -> None:
    async with rollouts.opened(url) as engine, engine.begin() as connection:
        for endpoint in ("GET /a", "GET /b"):
            for epoch in ("1.1", "1.2"):
                await rollouts.merge_units(connection, endpoint, epoch, {"active": b"\1"})
        await rollouts.forget_units(connection, "GET /a", "1.2")
        left = [
            (endpoint, epoch)
            for endpoint in ("GET /a", "GET /b")
            for epoch in ("1.1", "1.2")
            if await rollouts.units(connection, endpoint, epoch)
        ]
    assert left == [("GET /a", "1.2"), ("GET /b", "1.1"), ("GET /b", "1.2")]


async def test_the_past_is_told_newest_first_and_is_bounded(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "KEPT", 3)
    async with rollouts.opened(url) as engine, engine.begin() as connection:
        for number in range(5):
            change = Past(float(number), f"GET /{number % 2}", {"to": "running", "number": number})
            await rollouts.remember(connection, [change])
        everything = await rollouts.past(connection)
        of_one = await rollouts.past(connection, "GET /0", 1)
    assert [each.time for each in everything] == [4.0, 3.0, 2.0]
    assert of_one == [Past(4.0, "GET /0", {"to": "running", "number": 4})]


async def test_one_that_changes_often_crowds_out_no_other(url: str) -> None:
    async with rollouts.opened(url) as engine, engine.begin() as connection:
        assert await rollouts.newest(connection) == 0
        assert await rollouts.past_of_each(connection, 2) == {}
        for number in range(5):
            await rollouts.remember(connection, [Past(float(number), f"GET /{number > 0}", {"n": number})])
        found = await rollouts.past_of_each(connection, 2)
        newest = await rollouts.newest(connection)
        await rollouts.remember(connection, [Past(9.0, "GET /True", {})])
        assert await rollouts.newest(connection) > newest
    assert {name: [each.time for each in past] for name, past in found.items()} == {
        "GET /False": [0.0],
        "GET /True": [3.0, 4.0],
    }


async def test_a_freeze_is_a_compare_and_swap_too(url: str) -> None:
    async with rollouts.opened(url) as engine, engine.begin() as connection:
        assert await rollouts.freeze(connection) == Freeze()
        frozen = await rollouts.swap_freeze(connection, Freeze(0, True, "holidays", "ada", 7.0))
        assert frozen == Freeze(1, True, "holidays", "ada", 7.0)
        assert await rollouts.swap_freeze(connection, Freeze(0, False)) is None
        assert await rollouts.freeze(connection) == frozen
        thawed = await rollouts.swap_freeze(connection, Freeze(1, False, "", "bob", 8.0))
        assert await rollouts.freeze(connection) == thawed


async def test_the_file_is_for_its_owner_alone(url: str) -> None:
    async with rollouts.opened(url):
        assert not is_sqlite(url) or stat.S_IMODE(state_file(url).stat().st_mode) == 0o600
