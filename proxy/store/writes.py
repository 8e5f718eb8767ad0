"""The operators' view of keyed writes: lists what is stored, and settles unknown outcomes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import Record, State
from proxy.store import audit, statements
from proxy.store.engines import async_engine
from proxy.store.migrations import TooNew, migrate
from proxy.store.places import StoreUnavailable, claims_file, is_sqlite
from proxy.store.schema import claims, claims_stored

TIMEOUT: Final = 10.0  # seconds that each of the two functions may take
OPEN: Final = ("sent", "unknown")
STATES: Final[tuple[State, ...]] = ("sent", "completed", "unknown", "released")


class NotSettled(Exception):
    """There is no such write, or its outcome is not unknown."""


class Page(NamedTuple):
    """`total` is how many there are; None if that was not counted, for there may be very many."""

    records: list[Record]
    total: int | None


async def listing(url: str, state: State | None = None, limit: int = 100) -> list[Record]:
    """The writes in `state`, or all, that changed last; without their answers. Raises StoreUnavailable."""
    return (await page(url, state, limit)).records


async def page(url: str, state: State | None = None, limit: int = 100) -> Page:
    """`listing`, and how many there are in all if `state` is an open one, which an index finds."""
    if is_sqlite(url) and not claims_file(url).exists():
        return Page([], 0)
    async with _opened(url) as engine, engine.connect() as connection:
        await connection.execution_options(readonly=True)
        columns = await connection.run_sync(_columns)
        if not columns:
            return Page([], 0)
        query = (
            sa.select(*columns)
            .where(claims.c.note != "marker")
            .order_by(claims.c.updated_at.desc())
            .limit(limit)
        )
        if state is not None:
            query = query.where(claims.c.state == state)
        records = [statements.to_record(row) for row in await connection.execute(query)]
        total = len(records) if len(records) < limit else None
        if total is None and state in OPEN:
            count = sa.select(sa.func.count()).select_from(claims)
            count = count.where(claims.c.state == state, claims.c.note != "marker")
            total = await connection.scalar(count)
        return Page(records, total)


async def stored(url: str) -> int:
    """Bytes of all stored answers; 0 where nothing counts them yet. Raises StoreUnavailable."""
    if is_sqlite(url) and not claims_file(url).exists():
        return 0
    async with _opened(url) as engine, engine.connect() as connection:
        await connection.execution_options(readonly=True)
        there = await connection.run_sync(lambda it: sa.inspect(it).has_table(claims_stored.name))
        return await connection.run_sync(statements.stored) if there else 0


def _columns(connection: sa.Connection) -> list[sa.ColumnElement[Any]]:
    """Without the answers. What the database does not have, for it was not upgraded yet, is NULL."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(claims.name):
        return []
    there = {column["name"] for column in inspector.get_columns(claims.name)}
    empty = {"head", "body"}
    return [
        sa.literal(b"").label(column.name)
        if column.name in empty
        else column
        if column.name in there
        else sa.null().label(column.name)
        for column in claims.c
    ]


async def settle(url: str, id: str, *, done: bool, reason: str, author: str, claimed: str = "") -> Record:
    """Makes an unknown write completed, or free to run again. Raises NotSettled and StoreUnavailable.

    The audit log is written first: what is settled is always in it, by `author`. `claimed` is another name
    that the author gave.
    """
    if is_sqlite(url) and not claims_file(url).exists():
        raise NotSettled(f"there is no write {id}")
    async with _opened(url) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(migrate, "claims")
            found = await connection.run_sync(statements.find, id)
        if found is None:
            raise NotSettled(f"there is no write {id}")
        record, now = found
        try:
            settled = idempotency.settle(record, done, f"settled-{secrets.token_hex(8)}", now)
        except idempotency.IllegalTransition as error:
            raise NotSettled(f"write {error}") from error
        details = {"id": id, "as": "done" if done else "not-done", "reason": reason, "owner": record.owner}
        details |= {"endpoint": record.endpoint, "key": record.key, "principal": record.principal}
        if claimed:
            details["claimed"] = claimed
        async with audit.opened(url) as state, state.begin() as connection:
            await audit.append(connection, time.time(), author, "settle", details)
        async with engine.begin() as connection:
            if not await connection.run_sync(statements.replace, record, settled):
                raise NotSettled(f"write {id} was changed in the meantime; check it again")
    return settled


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncEngine]:
    engine = async_engine(url, claims_file(url) if is_sqlite(url) else None)
    try:
        async with asyncio.timeout(TIMEOUT):
            yield engine
    except (sa.exc.SQLAlchemyError, OSError, TooNew) as error:
        raise StoreUnavailable(f"{getattr(error, 'orig', None) or error}") from error
    finally:
        await engine.dispose()
