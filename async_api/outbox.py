"""Tells the cache which rows changed. Triggers write the outbox, whoever changes the rows (migration 0003).

A row leaves the outbox only after Redis was told. Nobody skips what another process has in hand: when
`drain` returns, everything that was committed before it began has been told.
"""

from __future__ import annotations

from async_api import metrics
from async_api.cache import Cache
from async_api.database import Connection, Database
from async_api.flights import Flights

BATCH = 500
ANY = "SELECT EXISTS (SELECT 1 FROM cache_outbox)"
TAKE = f"""
    DELETE FROM cache_outbox WHERE id = ANY (ARRAY(
        SELECT id FROM cache_outbox ORDER BY id LIMIT {BATCH} FOR UPDATE))
    RETURNING tag"""
PRUNE = "DELETE FROM cache_outbox WHERE created_at < now() - interval '2 minutes'"  # all they concern is gone

EXTEND = """
    INSERT INTO cache_readers (id, until) VALUES (1, now() + make_interval(secs => $1))
    ON CONFLICT (id) DO UPDATE SET until = greatest(cache_readers.until, excluded.until)"""
NEXT_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
ALL_BEFORE_ENDED = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8"


class Outbox:
    """`prefix` is that of the generations' names, see reads.py."""

    def __init__(self, database: Database, cache: Cache, prefix: str) -> None:
        self._database = database
        self._cache = cache
        self._prefix = prefix
        self._flights: Flights[bool] = Flights(1.0, metrics.COLLAPSED.labels("outbox").inc)

    async def drain(self) -> bool:
        """Whether Redis was told of all; what it was not stays, for two minutes. Raises Problem (503)."""
        return await self._flights.join("drain", self._drain)

    async def extend(self, seconds: float) -> None:
        """Keeps the triggers writing for that long. Raises Problem (503)."""
        await self._database.fetchval(EXTEND, seconds)

    async def next_transaction(self) -> str:
        return str(await self._database.fetchval(NEXT_TRANSACTION))

    async def ended_before(self, xid: str) -> bool:
        """Whether every transaction before this one has ended."""
        return bool(await self._database.fetchval(ALL_BEFORE_ENDED, xid))

    async def _drain(self) -> bool:
        while await self._database.fetchval(ANY):
            async with self._database.connection() as connection:
                told = await self._take(connection)
            if not told:
                await self._database.fetchval(PRUNE)
                return False
        return True

    async def _take(self, connection: Connection) -> bool:
        transaction = connection.transaction()
        await transaction.start()
        try:
            tags = {f"{self._prefix}:{row['tag']}" for row in await connection.fetch(TAKE)}
            told = not tags or await self._cache.forget(sorted(tags))
        except BaseException:
            await transaction.rollback()
            raise
        if told:
            await transaction.commit()
            metrics.INVALIDATIONS.inc(len(tags))
        else:
            await transaction.rollback()
        return told
