"""The migration ledger on disk: who was hit when, and since when each endpoint has its weight.

One row per endpoint, backend and reason; `unlisted` paths have the reason of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store import configs
from proxy.store.schema import ledger_hits, ledger_weights, migrate


class HitRow(NamedTuple):
    endpoint: str
    backend: str
    reason: str
    requests: int
    last: float  # Unix seconds


class WeightRow(NamedTuple):
    endpoint: str
    weight: int  # hundredths of a percent
    since: float


@asynccontextmanager
async def begun(url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction on the state database. Raises what SQLAlchemy and the driver raise."""
    async with configs.opened(url) as engine, engine.begin() as connection:
        await connection.run_sync(migrate, "ledger")
        yield connection


async def read(connection: AsyncConnection) -> tuple[list[HitRow], list[WeightRow]]:
    hits = [HitRow(*row) for row in await connection.execute(sa.select(ledger_hits))]
    weights = [WeightRow(*row) for row in await connection.execute(sa.select(ledger_weights))]
    return hits, weights


async def write(
    connection: AsyncConnection, hits: Iterable[HitRow], weights: Iterable[WeightRow], gone: Iterable[str]
) -> None:
    """Puts rows in the place of older ones; endpoints in `gone` lose their hits first."""
    if names := [{"name": name} for name in gone]:
        await connection.execute(
            ledger_hits.delete().where(ledger_hits.c.endpoint == sa.bindparam("name")), names
        )
    await _put(connection, ledger_hits, [row._asdict() for row in hits], 3)
    await _put(connection, ledger_weights, [row._asdict() for row in weights], 1)


async def _put(
    connection: AsyncConnection, table: sa.Table, rows: list[dict[str, object]], keys: int
) -> None:
    if not rows:
        return
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    columns = [column.name for column in table.c]
    statement = insert.on_conflict_do_update(
        index_elements=columns[:keys], set_={name: insert.excluded[name] for name in columns[keys:]}
    )
    await connection.execute(statement, rows)
