from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.control.rollouts.leadership import Leadership
from proxy.store import rollouts
from proxy.store.lease import LEASE, RENEW
from proxy.store.schema import rollout_lease

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    async with rollouts.opened(url) as engine:
        yield engine


async def renew(engine: AsyncEngine, leadership: Leadership) -> bool:
    async with engine.begin() as connection:
        return await leadership.renew(connection)


async def expire(engine: AsyncEngine, at: float) -> None:
    async with engine.begin() as connection:
        await connection.execute(rollout_lease.update().values(expires_at=at))


async def test_one_leads_and_knows_by_itself_when_that_is_over(engine: AsyncEngine) -> None:
    clock = Clock()
    one, other = Leadership("one", clock), Leadership("other", clock)
    assert (await renew(engine, one), await renew(engine, other)) == (True, False)
    clock.now += LEASE
    assert not one.leads


async def test_the_other_leads_when_the_lease_has_expired_and_never_both(engine: AsyncEngine) -> None:
    clock = Clock()
    one, other = Leadership("one", clock), Leadership("other", clock)
    await renew(engine, one)
    await expire(engine, 1.0)
    clock.now += LEASE
    assert await renew(engine, other)
    clock.now += RENEW
    assert not await renew(engine, one)
    assert one.holder == "other"


async def test_a_holder_that_renews_is_left_alone_whatever_its_expiry_says(engine: AsyncEngine) -> None:
    clock = Clock()
    one, other = Leadership("one", clock), Leadership("other", clock)
    for _ in range(10):
        assert await renew(engine, one)
        await expire(engine, 1e12)
        assert not await renew(engine, other)
        clock.now += RENEW
    for _ in range(10):  # it is dead now
        clock.now += RENEW
        took = await renew(engine, other)
    assert took


async def test_who_goes_leaves_the_lease_to_the_next(engine: AsyncEngine) -> None:
    clock = Clock()
    one, other = Leadership("one", clock), Leadership("other", clock)
    await renew(engine, one)
    async with engine.begin() as connection:
        await one.release(connection)
    assert not one.leads
    assert await renew(engine, other)


async def test_who_waits_asks_at_each_look_and_leads_as_soon_as_the_lease_is_over(
    engine: AsyncEngine,
) -> None:
    clock = Clock()
    one, other = Leadership("one", clock), Leadership("other", clock)
    await renew(engine, one)
    assert not await renew(engine, other)
    await expire(engine, 1.0)
    clock.now += RENEW / 2
    assert await renew(engine, other)
