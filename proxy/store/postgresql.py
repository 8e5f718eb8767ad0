"""Claims in a PostgreSQL database that several replicas share.

An incarnation is alive while its lease runs, by the database's clock; it renews it each second. One that
could not renew it for a while takes no new claims, well before the others call it dead.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.core.resilience.idempotency import ClaimRequest, Record, Verdict
from proxy.store import statements
from proxy.store.claims import UNHELD, Claims, Held, Sent
from proxy.store.clock import elapsed
from proxy.store.engines import CONNECTIONS, postgresql_engine
from proxy.store.migrations import TooNew, migrate
from proxy.store.now import database_now
from proxy.store.places import StoreUnavailable
from proxy.store.schema import incarnations

LEASE: Final = 15.0  # seconds
OWN_LEASE: Final = 8.0  # seconds after which we ourselves stop; the rest is for what is just being sent
STATEMENT: Final = 1.3  # seconds that one may take: it ends before a claim's caller gives up, mostly
CANCELLED: Final = "57014"  # the server's word for a statement that took too long

T = TypeVar("T")

_now = sa.extract("epoch", sa.func.clock_timestamp())


class PostgresqlClaims(Claims):
    """Connects with the first call; the pool replaces broken connections."""

    def __init__(self, url: str, incarnation: str, held: Held | None = None) -> None:
        # Each statement is a transaction of its own: one round trip, durable when it returns.
        self._engine: AsyncEngine = postgresql_engine(url, "AUTOCOMMIT", STATEMENT)
        self._whole = self._engine.execution_options(isolation_level="READ COMMITTED")
        self._ready = asyncio.Lock()
        self._migrated = False
        self._renewed = -math.inf  # by `elapsed`
        self._renewing: asyncio.Task[None] | None = None
        super().__init__(incarnation, held, CONNECTIONS)

    async def _claim(self, wanted: ClaimRequest) -> Verdict:
        self._unasked.add(wanted.token)
        await self._stay_alive()
        return await self._run(lambda connection: self._ask_for(connection, wanted))

    def _ask_for(self, connection: sa.Connection, wanted: ClaimRequest) -> Verdict:
        self._unasked.discard(wanted.token)
        try:
            return statements.claim(connection, wanted)
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == CANCELLED and not wanted.former_id:
                self._unasked.add(wanted.token)  # the server says so: no part of it was carried out
            raise

    async def _change(self, record: Record) -> bool:
        return await self._run(lambda connection: statements.change(connection, record))

    async def _change_all(self, records: Sequence[Record]) -> list[bool]:
        return await self._run(lambda connection: statements.change_all(connection, records))

    async def _confirm(self, record: Record) -> bool:
        await self._stay_alive()  # first: what the others see as dead they may take at any moment
        return await self._run(lambda connection: statements.confirm(connection, record))

    async def _sent(self) -> list[Sent]:
        me, after = self.incarnation, self._compared
        return await self._run(lambda connection: statements.sent_by(connection, me, UNHELD, after))

    async def _lose(self, tokens: list[str]) -> int:
        return await self._run(lambda connection: statements.lose(connection, self.incarnation, tokens))

    async def _stay_alive(self) -> None:
        """One renewal for all that wait for it: a slow store could not do one for each."""
        if elapsed() - self._renewed <= OWN_LEASE:
            return
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._run(self._renew))
            self._renewing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._renewing)

    async def _keep_alive(self) -> int:
        added = self._added
        await self._run(self._renew)
        lost = await self._run(self._bury_the_dead)
        self._measure(await self._run(statements.stored), added)
        return lost

    def _renew(self, connection: sa.Connection) -> None:
        before = elapsed()
        statement = insert(incarnations).values(id=self.incarnation, expires_at=_now + LEASE)
        renewal = statement.on_conflict_do_update(
            index_elements=[incarnations.c.id], set_={"expires_at": statement.excluded.expires_at}
        )
        self._clock.see(connection.execute(renewal.returning(database_now())).scalar_one())
        self._renewed = max(before, self._renewed)

    def _bury_the_dead(self, connection: sa.Connection) -> int:
        connection.execute(incarnations.delete().where(incarnations.c.expires_at < _now))
        return statements.lose_orphans(connection)

    async def _prune(self) -> int:
        latest = self._clock.latest()
        return await self._run(lambda connection: statements.prune(connection, latest), self._whole)

    async def _close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._engine.dispose()

    async def _run(self, work: Callable[[sa.Connection], T], engine: AsyncEngine | None = None) -> T:
        try:
            await self._migrate()
            async with (engine or self._engine).begin() as connection:
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
