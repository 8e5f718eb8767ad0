from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from async_api.flights import Flights


class Source:
    """Counts its queries; each sees `value` as it is when the query begins, and ends when told."""

    def __init__(self) -> None:
        self.value = 0
        self.queries = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.queries += 1
        seen = self.value
        await self.gate.wait()
        return seen


@pytest.fixture
def shared() -> list[int]:
    return []


def flights(shared: list[int], patience: float = 60.0) -> Flights[int]:
    return Flights(patience, lambda: shared.append(1))


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(main())


async def settle() -> None:
    """Lets every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_many_concurrent_reads_cost_two_queries(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)
        readers = [asyncio.create_task(air.join("a", source)) for _ in range(100)]
        await settle()
        assert source.queries == 1
        source.gate.set()
        assert await asyncio.gather(*readers) == [0] * 100
        assert source.queries == 2
        assert len(shared) == 98

    run(scenario)


def test_a_read_sees_what_was_written_before_it_was_asked_for(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)
        before = asyncio.create_task(air.join("a", source))
        await settle()  # its query has begun
        source.value = 1
        after = asyncio.create_task(air.join("a", source))
        await settle()
        source.gate.set()
        assert (await before, await after) == (0, 1)

    run(scenario)


def test_a_late_read_joins_what_is_under_way(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)
        readers = [asyncio.create_task(air.join("a", source, late=True)) for _ in range(10)]
        await settle()
        source.gate.set()
        await asyncio.gather(*readers)
        assert source.queries == 1

    run(scenario)


def test_other_keys_do_not_share(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)
        source.gate.set()
        await asyncio.gather(air.join("a", source), air.join("b", source))
        assert (source.queries, shared) == (2, [])

    run(scenario)


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_a_cancelled_reader_leaves_the_flight_to_the_others(leaver: int, shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)
        readers = [asyncio.create_task(air.join("a", source)) for _ in range(4)]
        await settle()
        readers[leaver].cancel()
        await settle()
        source.gate.set()
        answers = await asyncio.gather(*readers, return_exceptions=True)
        assert [answer == 0 for answer in answers] == [i != leaver for i in range(4)]

    run(scenario)


def test_an_error_reaches_all_on_board_and_nobody_after(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared)

        async def fail() -> int:
            await source()
            raise ValueError

        readers = [asyncio.create_task(air.join("a", fail)) for _ in range(5)]
        await settle()
        source.gate.set()
        errors = await asyncio.gather(*readers, return_exceptions=True)
        assert [type(error) for error in errors] == [ValueError] * 5
        assert await air.join("a", source) == 0

    run(scenario)


def test_a_hanging_query_holds_the_next_one_up_for_no_longer_than_patience(shared: list[int]) -> None:
    async def scenario() -> None:
        stuck, source, air = Source(), Source(), flights(shared, patience=0.01)
        source.gate.set()
        first = asyncio.create_task(air.join("a", stuck))
        await settle()
        assert await air.join("a", source) == 0
        assert not first.done()
        stuck.gate.set()
        await first

    run(scenario)


def test_nothing_is_left_of_flights_that_have_landed(shared: list[int]) -> None:
    async def scenario() -> None:
        source, air = Source(), flights(shared, patience=0.01)
        readers = [asyncio.create_task(air.join("a", source)) for _ in range(3)]
        await settle()
        readers.append(asyncio.create_task(air.join("a", source)))
        source.gate.set()
        await asyncio.gather(*readers)
        assert (air._in_air, air._boarding) == ({}, {})

    run(scenario)
