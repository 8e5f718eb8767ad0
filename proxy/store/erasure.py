"""Erases the stored answers and samples of one person or path.

A key stays known without its answer, so a retry is still never executed. Rows are searched in pages,
without a lock; only matching rows are changed, each page in its own transaction. What was erased stays
erased if a later page fails, and running it again erases the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.core.comparison.comparisons import Sample
from proxy.core.privacy.erasure import Covered, Matcher
from proxy.store import comparisons, statements
from proxy.store.engines import async_engine
from proxy.store.migrations import TooNew, migrate
from proxy.store.places import StoreUnavailable, claims_file, comparisons_file, is_sqlite
from proxy.store.schema import claims
from proxy.store.schema import comparison_samples as samples

TIMEOUT: Final = 120.0  # seconds for all of it
STATEMENT: Final = 60.0  # for one: a page of few finds may go over the whole table
KEYS: Final = 500  # of a page
SAMPLES: Final = 20  # of a page; one has up to 200 KiB

Covers = Callable[[str], Covered]
"""Of an endpoint's template: how many of its requests are meant."""


class ErasureRequest(NamedTuple):
    """Whose answers: of any of `principals`, or of all endpoints that `covers` "all"; and which samples."""

    principals: frozenset[str] = frozenset()
    covers: Covers | None = None
    sample: Matcher | None = None


class Erased(NamedTuple):
    """`keys` and `samples` were erased, or would be.

    `under_way` are writes that have no answer yet and may get one; `unsure` stored answers that may be meant,
    and were kept; `unreadable` samples of another version. `unclean` are files that may still hold content.
    """

    keys: int = 0
    samples: int = 0
    under_way: int = 0
    unsure: int = 0
    unreadable: int = 0
    unclean: tuple[str, ...] = ()


async def erase(url: str, wanted: ErasureRequest, *, dry_run: bool) -> Erased:
    """Raises StoreUnavailable, and TimeoutError after TIMEOUT."""
    async with asyncio.timeout(TIMEOUT):
        found = Erased()
        if not is_sqlite(url) or claims_file(url).exists():
            async with _opened(url, claims_file(url) if is_sqlite(url) else None, "claims") as engine:
                found = await _answers(engine, wanted, dry_run)
        if wanted.sample is not None and (not is_sqlite(url) or comparisons_file(url).exists()):
            file = comparisons_file(url) if is_sqlite(url) else None
            async with _opened(url, file, "comparisons") as engine:
                number, unreadable = await _samples(engine, wanted.sample, dry_run)
                found = found._replace(samples=number, unreadable=unreadable)
        if is_sqlite(url) and not dry_run and (found.keys or found.samples):
            files = (claims_file(url), comparisons_file(url))
            found = found._replace(unclean=tuple(await asyncio.to_thread(_unclean, files)))
        return found


@asynccontextmanager
async def _opened(url: str, file: Path | None, part: str) -> AsyncIterator[AsyncEngine]:
    engine = async_engine(url, file, statement=STATEMENT)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate, part)
        yield engine
    except (sa.exc.SQLAlchemyError, OSError, TooNew) as error:
        if isinstance(error, TimeoutError):
            raise
        raise StoreUnavailable(f"{getattr(error, 'orig', None) or error}") from error
    finally:
        await engine.dispose()


# stored answers


async def _answers(engine: AsyncEngine, wanted: ErasureRequest, dry_run: bool) -> Erased:
    mine, unsure = await _meant(engine, wanted)
    answered = sa.and_(claims.c.state == "completed", claims.c.status.is_not(None))
    keys, last = 0, ""
    while ids := await _page(engine, sa.and_(mine, answered, claims.c.id > last)):
        keys, last = keys + len(ids), ids[-1]
        if not dry_run:
            async with engine.begin() as connection:
                await _leave_no_trace(connection)
                await connection.run_sync(statements.empty, ids)
    async with _reading(engine) as connection:
        under_way = await _count(
            connection, sa.and_(mine, claims.c.state == "sent", claims.c.note != "marker")
        )
        kept = await _count(connection, sa.and_(unsure, answered))
    return Erased(keys=keys, under_way=under_way, unsure=kept)


async def _meant(
    engine: AsyncEngine, wanted: ErasureRequest
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Which claims are meant, and which may be."""
    if wanted.covers is None:
        return claims.c.principal.in_(wanted.principals), sa.false()
    async with _reading(engine) as connection:
        names = list(await connection.scalars(sa.select(claims.c.endpoint).distinct()))
    covered = {name: wanted.covers(name.partition(" ")[2]) for name in names}
    return (
        claims.c.endpoint.in_([name for name, how in covered.items() if how == "all"]),
        claims.c.endpoint.in_([name for name, how in covered.items() if how == "some"]),
    )


async def _page(engine: AsyncEngine, condition: sa.ColumnElement[bool]) -> list[str]:
    async with _reading(engine) as connection:
        query = sa.select(claims.c.id).where(condition).order_by(claims.c.id).limit(KEYS)
        return list(await connection.scalars(query))


async def _count(connection: AsyncConnection, condition: sa.ColumnElement[bool]) -> int:
    return await connection.scalar(sa.select(sa.func.count()).select_from(claims).where(condition)) or 0


# samples


async def _samples(engine: AsyncEngine, matcher: Matcher, dry_run: bool) -> tuple[int, int]:
    """How many match, and how many cannot be read."""
    number = unreadable = 0
    last = ""
    while True:
        async with _reading(engine) as connection:
            query = sa.select(samples.c.id, samples.c.document).where(samples.c.id > last)
            rows = list(await connection.execute(query.order_by(samples.c.id).limit(SAMPLES)))
        if not rows:
            return number, unreadable
        last = rows[-1].id
        ids, strange = await asyncio.to_thread(_matching, [tuple(row) for row in rows], matcher)
        number, unreadable = number + len(ids), unreadable + strange
        if ids and not dry_run:
            async with engine.begin() as connection:
                await _leave_no_trace(connection)
                await comparisons.drop_samples(connection, ids)


def _matching(rows: Iterable[tuple[str, bytes]], matcher: Matcher) -> tuple[list[str], int]:
    ids, strange = [], 0
    for id, document in rows:
        sample: Sample | None = None
        with contextlib.suppress(msgspec.DecodeError):
            sample = comparisons.decode(document)
        strange += sample is None
        if sample is not None and matcher.matches(sample):
            ids.append(id)
    return ids, strange


# both


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        await connection.execution_options(readonly=True)
        yield connection


async def _leave_no_trace(connection: AsyncConnection) -> None:
    """SQLite overwrites what is erased instead of only forgetting its place."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _unclean(files: Iterable[Path]) -> list[str]:
    """Write-ahead logs that may still hold what was erased, for they are in use."""
    found = []
    for file in files:
        if not file.exists():
            continue
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
            try:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error:
                busy = 1
        if busy:
            found.append(f"{file}-wal")
    return found
