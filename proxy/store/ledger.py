"""The migration ledger on disk: the latest requests to each backend, and since when each endpoint has had its
weight and has claimed keys.

There is one row per endpoint, backend and reason; `unlisted` paths have the reason of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store import configs
from proxy.store.migrations import migrate
from proxy.store.schema import ledger_hits, ledger_keys, ledger_weights
from proxy.store.upserts import inserting


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


class KeysRow(NamedTuple):
    endpoint: str
    since: float  # when its keys began to be claimed


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
    await _delete(connection, ledger_hits, gone)
    await _put(connection, ledger_hits, [row._asdict() for row in hits], 3)
    await _put(connection, ledger_weights, [row._asdict() for row in weights], 1)


async def read_keys(connection: AsyncConnection) -> list[KeysRow]:
    return [KeysRow(*row) for row in await connection.execute(sa.select(ledger_keys))]


async def write_keys(connection: AsyncConnection, rows: Iterable[KeysRow], gone: Iterable[str]) -> None:
    """Puts rows in the place of older ones; endpoints in `gone` lose theirs first."""
    await _delete(connection, ledger_keys, gone)
    await _put(connection, ledger_keys, [row._asdict() for row in rows], 1)


async def _delete(connection: AsyncConnection, table: sa.Table, endpoints: Iterable[str]) -> None:
    if names := [{"name": name} for name in endpoints]:
        await connection.execute(table.delete().where(table.c.endpoint == sa.bindparam("name")), names)


async def _put(
    connection: AsyncConnection, table: sa.Table, rows: list[dict[str, object]], keys: int
) -> None:
    if not rows:
        return
    insert = inserting(connection.dialect.name)(table)
    columns = [column.name for column in table.c]
    statement = insert.on_conflict_do_update(
        index_elements=columns[:keys], set_={name: insert.excluded[name] for name in columns[keys:]}
    )
    await connection.execute(statement, rows)
