"""Claims in a PostgreSQL database that several replicas share.

An incarnation is alive while its lease runs, by the database's clock; it renews it each second. One that
could not renew it for a while takes no new claims, well before the others call it dead.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.core.idempotency import Record, Verdict, Wanted
from proxy.store import statements
from proxy.store.claims import UNHELD, Claims, Sent
from proxy.store.clock import elapsed
from proxy.store.engines import postgresql_engine
from proxy.store.migrations import TooNew, migrate
from proxy.store.now import database_now
from proxy.store.places import StoreUnavailable
from proxy.store.schema import incarnations

LEASE: Final = 15.0  # seconds
OWN_LEASE: Final = 8.0  # seconds after which we ourselves stop; the rest is for what is just being sent

T = TypeVar("T")

_now = sa.extract("epoch", sa.func.clock_timestamp())


class PostgresqlClaims(Claims):
    """Connects with the first call; the pool replaces broken connections."""

    def __init__(self, url: str, incarnation: str) -> None:
        # Each statement is a transaction of its own: one round trip, durable when it returns.
        self._engine: AsyncEngine = postgresql_engine(url, "AUTOCOMMIT")
        self._whole = self._engine.execution_options(isolation_level="READ COMMITTED")
        self._ready = asyncio.Lock()
        self._migrated = False
        self._renewed = -math.inf  # by `elapsed`
        super().__init__(incarnation)

    async def _claim(self, wanted: Wanted) -> Verdict:
        await self._stay_alive()
        return await self._run(lambda connection: statements.claim(connection, wanted))

    async def _change(self, record: Record) -> bool:
        return await self._run(lambda connection: statements.change(connection, record))

    async def _confirm(self, record: Record) -> bool:
        await self._stay_alive()  # first: what the others see as dead they may take at any moment
        return await self._run(lambda connection: statements.confirm(connection, record))

    async def _sent(self) -> list[Sent]:
        me, after = self.incarnation, self._compared
        return await self._run(lambda connection: statements.sent_by(connection, me, UNHELD, after))

    async def _lose(self, tokens: list[str]) -> int:
        return await self._run(lambda connection: statements.lose(connection, self.incarnation, tokens))

    async def _stay_alive(self) -> None:
        if elapsed() - self._renewed > OWN_LEASE:
            await self._keep_alive()

    async def _keep_alive(self) -> int:
        before = elapsed()
        lost = await self._run(self._renew)
        self._renewed = before
        return lost

    def _renew(self, connection: sa.Connection) -> int:
        statement = insert(incarnations).values(id=self.incarnation, expires_at=_now + LEASE)
        renewal = statement.on_conflict_do_update(
            index_elements=[incarnations.c.id], set_={"expires_at": statement.excluded.expires_at}
        )
        self._clock.see(connection.execute(renewal.returning(database_now())).scalar_one())
        connection.execute(incarnations.delete().where(incarnations.c.expires_at < _now))
        return statements.lose_orphans(connection)

    async def _prune(self) -> int:
        return await self._run(lambda connection: statements.prune(connection, self._clock.latest()))

    async def _close(self) -> None:
        await self._engine.dispose()

    async def _run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            await self._migrate()
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except (sa.exc.SQLAlchemyError, OSError, TimeoutError, TooNew) as error:
            reason = str(getattr(error, "orig", None) or error) or type(error).__name__
            raise StoreUnavailable(f"PostgreSQL: {reason}") from error

    async def _migrate(self) -> None:
        if self._migrated:
            return
        async with self._ready:
            if not self._migrated:
                async with self._whole.begin() as connection:
                    await connection.run_sync(migrate, "claims")
                self._migrated = True
