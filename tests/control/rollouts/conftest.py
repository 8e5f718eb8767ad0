from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.control.rollouts.replica import A, Clock, Replica
from tests.store.conftest import url

__all__ = ["anyio_backend", "url"]

MakeReplica = Callable[..., Awaitable[Replica]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make_replica(url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[MakeReplica]:
    made: list[Replica] = []

    async def make(text: str = A, name: str = "one", away: bool = False) -> Replica:
        replica = Replica(url, tmp_path / name, text, clock)
        replica.database.away = away
        made.append(replica)
        await replica.start()
        return replica

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def replica(make_replica: MakeReplica) -> Replica:
    return await make_replica()
