from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.store import lease, rollouts
from proxy.store.lease import Held
from proxy.store.schema import rollout_lease

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    async with rollouts.opened(url) as engine:
        yield engine


async def take(engine: AsyncEngine, holder: str, stale: Held | None = None) -> Held:
    async with engine.begin() as connection:
        return await lease.take(connection, holder, stale)


async def holds(engine: AsyncEngine, holder: str) -> bool:
    async with engine.begin() as connection:
        return await lease.holds(connection, holder)


async def set_expiry(engine: AsyncEngine, value: sa.ColumnElement[float] | float) -> None:
    async with engine.begin() as connection:
        await connection.execute(rollout_lease.update().values(expires_at=value))


async def test_one_gets_it_and_renews_it(engine: AsyncEngine) -> None:
    assert await take(engine, "a") == Held("a", 1)
    assert await take(engine, "b") == Held("a", 1)
    assert await take(engine, "a") == Held("a", 2)
    assert (await holds(engine, "a"), await holds(engine, "b")) == (True, False)


async def test_it_is_taken_over_when_it_has_expired(engine: AsyncEngine) -> None:
    await take(engine, "a")
    await set_expiry(engine, 1.0)
    assert not await holds(engine, "a")
    assert await take(engine, "b") == Held("b", 2)
    assert await take(engine, "a") == Held("b", 2)


async def test_of_many_that_come_at_once_one_holds_it(engine: AsyncEngine) -> None:
    for _ in range(3):
        seen = await asyncio.gather(*(take(engine, name) for name in "abcdef"))
        assert len({each.holder for each in seen if each.holder}) == 1
        held = [await holds(engine, name) for name in "abcdef"]
        assert held.count(True) == 1
        await set_expiry(engine, 1.0)


async def test_one_that_was_written_by_a_clock_that_ran_ahead_is_taken_over_unchanged(
    engine: AsyncEngine,
) -> None:
    seen = await take(engine, "a")
    await set_expiry(engine, 1e12)
    assert (await take(engine, "b")).holder == "a"
    renewed = await take(engine, "a")
    await set_expiry(engine, 1e12)
    assert (await take(engine, "b", seen)).holder == "a"
    assert (await take(engine, "b", renewed)).holder == "b"
    assert (await holds(engine, "a"), await holds(engine, "b")) == (False, True)


async def test_what_is_given_back_is_free_at_once(engine: AsyncEngine) -> None:
    await take(engine, "a")
    async with engine.begin() as connection:
        await lease.release(connection, "b")
    assert await holds(engine, "a")
    async with engine.begin() as connection:
        await lease.release(connection, "a")
    assert (await take(engine, "b")).holder == "b"
