"""Reads the results of comparisons, and creates no database where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.comparison.comparisons import Sample, Tally
from proxy.store import comparisons
from proxy.store.comparisons import StoredCounts
from proxy.store.engines import async_engine
from proxy.store.places import StoreUnavailable, comparisons_file, is_sqlite
from proxy.store.schema import comparison_marks, comparison_samples, comparison_scopes

TIMEOUT: Final = 5.0  # seconds that one of these may take


async def everything(url: str) -> StoredCounts:
    """All counts of all endpoints. Raises StoreUnavailable."""
    async with _reading(url) as connection:
        return StoredCounts([], []) if connection is None else await comparisons.found(connection)


async def of_endpoint(url: str, endpoint: str) -> StoredCounts:
    """All counts of one endpoint, of every scope that is kept. Raises StoreUnavailable."""
    async with _reading(url) as connection:
        return StoredCounts([], []) if connection is None else await comparisons.found(connection, endpoint)


async def samples(url: str, scope: str, path: str | None, limit: int) -> list[Sample]:
    """Newest first; those that differ on `path`, if that is given. Raises StoreUnavailable."""
    async with _reading(url) as connection:
        return [] if connection is None else await comparisons.samples(connection, scope, path, limit)


def of_scope(found: StoredCounts, scope: str) -> Tally | None:
    """The tally of the scope with this id."""
    return next((each for each in found.tallies if each.scope.id == scope), None)


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[AsyncConnection | None]:
    """A connection that takes no write lock; None if nothing was ever stored."""
    file = comparisons_file(url) if is_sqlite(url) else None
    if file is not None and not file.exists():
        yield None
        return
    engine = async_engine(url, file)
    try:
        async with asyncio.timeout(TIMEOUT), engine.connect() as connection:
            await connection.execution_options(readonly=True)
            yield connection if await connection.run_sync(_is_there) else None
    except TimeoutError:
        raise StoreUnavailable("no answer in time") from None
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(f"{getattr(error, 'orig', None) or error}") from error
    finally:
        await engine.dispose()


def _is_there(connection: sa.Connection) -> bool:
    found = set(sa.inspect(connection).get_table_names())
    return {comparison_scopes.name, comparison_samples.name, comparison_marks.name} <= found
