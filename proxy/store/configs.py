"""The configurations that were accepted, newest last, so that one can go back to any of the newest KEPT.

A text is as it was in the file and may hold secrets: it never leaves by the admin port.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.store.engines import async_engine
from proxy.store.migrations import migrate
from proxy.store.places import is_sqlite, private_file, private_folder, state_file
from proxy.store.schema import configs

KEPT: Final = 200


class AcceptedConfig(NamedTuple):
    """One accepted configuration. `difference` are lines such as "GET /a: weight 25 -> 50"."""

    id: int
    time: float  # Unix seconds
    hash: str
    author: str
    trigger: str
    difference: Sequence[str]
    text: str


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """The state database with audit log and configurations. Raises what SQLAlchemy and the driver raise."""
    if is_sqlite(url):
        file = state_file(url)
        private_folder(file.parent)
        os.close(private_file(file))
    engine = async_engine(url)
    try:
        async with engine.begin() as connection:
            for part in ("audit", "configs"):
                await connection.run_sync(migrate, part)
        yield engine
    finally:
        await engine.dispose()


async def append(connection: AsyncConnection, accepted: AcceptedConfig) -> None:
    """Adds one (its `id` is not used) and forgets all but the newest KEPT."""
    values = accepted._asdict()
    del values["id"]
    result = await connection.execute(
        configs.insert().values({**values, "difference": list(accepted.difference)})
    )
    newest = result.inserted_primary_key
    assert newest is not None
    await connection.execute(configs.delete().where(configs.c.id <= newest[0] - KEPT))


async def newest(connection: AsyncConnection, limit: int = KEPT) -> list[AcceptedConfig]:
    """The newest `limit`, newest first."""
    query = sa.select(configs).order_by(configs.c.id.desc()).limit(limit)
    return [AcceptedConfig(*row) for row in await connection.execute(query)]
