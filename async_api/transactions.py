"""Write transactions: run whole, retried whole, and never repeated while their outcome is in doubt.

READ COMMITTED is the right level here: every row that a decision depends on is locked first, so it is read
as last committed and stays so; a higher level would only add serialization failures. Rows are locked in one
order everywhere, so deadlocks come from strangers only. Both are retried all the same (40001, 40P01).

A connection lost before COMMIT means that nothing happened. One lost during COMMIT leaves the outcome open:
it is asked for by the transaction's id on another connection, and only one that was aborted runs again. A
server that crashed may give the id to another transaction, so `committed` also needs the row to be there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from async_api import metrics
from async_api.database import Connection, Database
from async_api.errors import UNAVAILABLE, Problem

T = TypeVar("T")

Query = tuple[str, *tuple[object, ...]]
"""SQL and its values."""

REPEATABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
POLL = 0.05  # seconds between two questions about a COMMIT still under way


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int = 6
    base: float = 0.01  # seconds; doubles up to `cap`, with full jitter
    cap: float = 0.5
    settle_timeout: float = 5.0  # seconds


class Aborted(Exception):
    """The transaction is known not to have happened, for a reason that may pass."""


class CommitLost(Exception):
    """The connection broke during COMMIT of the transaction with this id."""

    def __init__(self, xid: str) -> None:
        super().__init__(xid)
        self.xid = xid


async def run(
    database: Database,
    work: Callable[[Connection], Awaitable[T]],
    proof: Callable[[T], Query],
    retry: Retry,
) -> T:
    """What `work` returns, once its transaction is committed. `work` may be called several times.

    `proof` makes a query that finds a row only if the transaction that returned it took place. Exceptions of
    `work` roll back and pass through. Raises Problem: `unavailable` if nothing happened, `outcome-unknown` if
    that could not be found out.
    """
    for attempt in range(retry.attempts):
        await _pause(attempt, retry)
        outcome: list[T] = []  # filled before COMMIT, so that it survives a lost one
        try:
            await _attempt(database, work, outcome)
        except CommitLost as lost:
            if not await _committed(database, lost.xid, proof(outcome[0]), retry.settle_timeout):
                continue
        except Aborted:
            continue
        return outcome[0]
    raise _too_busy()


async def rehearse(database: Database, work: Callable[[Connection], Awaitable[T]], retry: Retry) -> T:
    """What `work` would return: it runs as in `run`, holds the same locks meanwhile, and is rolled back.

    What stays are gaps in sequences, as any rollback leaves them. Raises Problem as `run` does.
    """
    for attempt in range(retry.attempts):
        await _pause(attempt, retry)
        async with database.connection() as connection:
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                return await work(connection)
            except (*REPEATABLE, *UNAVAILABLE):
                continue
            finally:
                with suppress(*UNAVAILABLE):
                    await transaction.rollback()
    raise _too_busy()


def _too_busy() -> Problem:
    return Problem("unavailable", "The database is too busy at the moment; nothing was done.")


async def _pause(attempt: int, retry: Retry) -> None:
    if attempt:
        metrics.RETRIES.labels("transaction").inc()
        await asyncio.sleep(random.uniform(0, min(retry.cap, retry.base * 2**attempt)))


async def _attempt(database: Database, work: Callable[[Connection], Awaitable[T]], outcome: list[T]) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction(isolation="read_committed")
        await transaction.start()
        try:
            xid = await connection.fetchval("SELECT pg_current_xact_id()::text")
            outcome.append(await work(connection))
        except BaseException as error:
            with suppress(*UNAVAILABLE):
                await transaction.rollback()
            if isinstance(error, (*REPEATABLE, *UNAVAILABLE)):
                raise Aborted from error
            raise
        await _commit(transaction, xid)


async def _commit(transaction: asyncpg.transaction.Transaction, xid: str) -> None:
    try:
        await transaction.commit()
    except REPEATABLE as error:
        raise Aborted from error
    except BaseException as error:
        if isinstance(error, (*UNAVAILABLE, asyncio.CancelledError)):
            raise CommitLost(xid) from error
        raise


async def _committed(database: Database, xid: str, proof: Query, timeout: float) -> bool:
    """Whether that transaction took place; waits while its COMMIT is still under way."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                # An id from before a crash may be "in the future": an error that stays, until the timeout.
                with suppress(Problem, asyncpg.PostgresError):
                    status = await database.fetchval("SELECT pg_xact_status($1::text::xid8)", xid)
                    if status == "aborted":
                        return False
                    if status == "committed":
                        return await database.fetchval(*proof) is not None
                await asyncio.sleep(POLL)
    raise Problem("outcome-unknown", "The connection to the database broke; check before you repeat this.")
