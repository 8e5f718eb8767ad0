from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import asyncpg
import pytest

from async_api import transactions
from async_api.config import Settings
from async_api.database import Connection, Database
from async_api.errors import Problem
from async_api.transactions import Retry
from tests.async_api.relay import Cut, Relay
from tests.contract.fixtures import Ledger

T = TypeVar("T")

QUICK = Retry(attempts=5, base=0.001, cap=0.01, settle_timeout=2.0)
INSERT = "INSERT INTO marks DEFAULT VALUES RETURNING id"


@pytest.fixture
def marked(new_ledger: Callable[[], Ledger]) -> Ledger:
    """A database with a table whose rows count how often something was done."""
    made = new_ledger()
    made.execute("CREATE TABLE marks (id int GENERATED ALWAYS AS IDENTITY)")
    made.execute("CREATE TABLE pair (id int PRIMARY KEY, n int); INSERT INTO pair VALUES (1, 0), (2, 0)")
    return made


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=url, pool_min=0, **settings))  # type: ignore[arg-type]
    await database.open()
    try:
        yield database
    finally:
        await database.close()


class Work:
    """Adds a mark, after raising the errors it was given, one at each attempt."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.attempts = 0

    async def __call__(self, connection: Connection) -> int:
        self.attempts += 1
        mark = await connection.fetchval(INSERT)
        if self.codes:
            code = self.codes.pop(0)
            await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$")
        return int(mark)


def marks(ledger: Ledger) -> int:
    return int(ledger.execute("SELECT count(*) FROM marks")[0][0])


def proof(mark: object) -> transactions.Query:
    return "SELECT 1 FROM marks WHERE id = $1", mark


def run(url: str, work: Callable[[Connection], Awaitable[T]], retry: Retry = QUICK) -> T:
    async def main() -> T:
        async with opened(url) as database:
            return await transactions.run(database, work, proof, retry)

    return asyncio.run(main())


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_whole_transaction_is_repeated_after_a_conflict(marked: Ledger, code: str) -> None:
    work = Work(code, code, code)
    run(marked.url, work)
    assert (work.attempts, marks(marked)) == (4, 1)


def test_conflicts_that_do_not_end_are_503_with_nothing_done(marked: Ledger) -> None:
    work = Work(*["40001"] * 9)
    with pytest.raises(Problem) as caught:
        run(marked.url, work)
    assert (caught.value.kind, work.attempts, marks(marked)) == ("unavailable", QUICK.attempts, 0)


def test_other_errors_are_not_repeated(marked: Ledger) -> None:
    work = Work("23514")
    with pytest.raises(asyncpg.CheckViolationError):
        run(marked.url, work)
    assert (work.attempts, marks(marked)) == (1, 0)


def test_real_deadlock_is_repeated(marked: Ledger) -> None:
    """A stranger locks the same rows the other way round; it waits longer, so PostgreSQL breaks ours."""
    update = "UPDATE pair SET n = n + 1 WHERE id = $1"
    attempts = 0

    async def main() -> None:
        async with opened(marked.url) as database:
            stranger = await asyncpg.connect(marked.url)
            await stranger.execute("SET deadlock_timeout = '60s'")
            theirs = stranger.transaction()
            await theirs.start()
            await stranger.execute(update, 2)

            async def work(connection: Connection) -> None:
                nonlocal attempts
                attempts += 1
                await connection.execute(update, 1)
                if attempts == 1:
                    asyncio.get_running_loop().create_task(finish())
                    await _until_waiting(database)
                await connection.execute(update, 2)

            async def finish() -> None:
                await stranger.execute(update, 1)
                await theirs.commit()
                await stranger.close()

            await transactions.run(database, work, proof, QUICK)

    asyncio.run(main())
    assert attempts == 2
    assert marked.execute("SELECT n FROM pair ORDER BY id") == [(2,), (2,)]


async def _until_waiting(database: Database) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not await database.fetchval(query):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("cuts", "attempts"),
    [
        ([Cut.AFTER], 1),
        ([Cut.BEFORE], 2),
        ([Cut.BEFORE, Cut.BEFORE, Cut.AFTER], 3),
    ],
    ids=str,
)
def test_lost_commit_is_checked_before_anything_is_repeated(
    marked: Ledger, cuts: list[Cut], attempts: int
) -> None:
    work = Work()

    async def main() -> int:
        async with Relay(marked.url) as relay, opened(relay.url) as database:
            relay.cuts = list(cuts)
            return await transactions.run(database, work, proof, QUICK)

    mark = asyncio.run(main())
    assert marked.execute("SELECT id FROM marks") == [(mark,)]
    assert work.attempts == attempts


def test_committed_id_of_somebody_else_does_not_count(marked: Ledger) -> None:
    """After a crash of the server, that transaction's id may belong to another one."""
    work = Work()

    async def main() -> None:
        async with Relay(marked.url) as relay, opened(relay.url) as database:
            relay.cuts = [Cut.AFTER]
            await transactions.run(database, work, lambda _: ("SELECT 1 WHERE false",), QUICK)

    asyncio.run(main())
    assert work.attempts == 2


@pytest.mark.parametrize(("cut", "done"), [(Cut.AFTER, 1), (Cut.BEFORE, 0)])
def test_lost_commit_that_cannot_be_checked_is_outcome_unknown(marked: Ledger, cut: Cut, done: int) -> None:
    work = Work()

    async def main() -> None:
        async with Relay(marked.url) as relay, opened(relay.url) as database:
            relay.cuts = [cut]

            async def last(connection: Connection) -> int:
                relay.refuse = True
                return await work(connection)

            await transactions.run(database, last, proof, Retry(5, 0.001, 0.01, settle_timeout=0.3))

    with pytest.raises(Problem) as caught:
        asyncio.run(main())
    assert caught.value.kind == "outcome-unknown"
    assert (work.attempts, marks(marked)) == (1, done)


def test_lost_commit_is_not_hidden_by_a_connection_that_cannot_be_given_back(marked: Ledger) -> None:
    """Nothing answers on it, also not to the cancellation: that must not look as if nothing was done."""
    work = Work()

    async def main() -> int:
        async with (
            Relay(marked.url) as relay,
            opened(relay.url, command_timeout=0.3, pool_wait=0.3) as database,
        ):
            relay.cuts = [Cut.SILENT]

            async def last(connection: Connection) -> int:
                relay.refuse = True  # the cancellation is a connection of its own
                asyncio.get_running_loop().call_later(0.5, setattr, relay, "refuse", False)
                return await work(connection)

            return await transactions.run(database, last, proof, Retry(5, 0.001, 0.01, settle_timeout=10.0))

    mark = asyncio.run(main())
    assert marked.execute("SELECT id FROM marks") == [(mark,)]
    assert work.attempts == 1


def test_connection_lost_before_commit_is_repeated(marked: Ledger) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.fetchval(INSERT)
        if attempts == 1:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    run(marked.url, work)
    assert (attempts, marks(marked)) == (2, 1)


def test_declined_part_rolls_back_to_its_savepoint_only(marked: Ledger) -> None:
    async def work(connection: Connection) -> None:
        await connection.fetchval(INSERT)
        with suppress(LookupError):
            async with connection.transaction():
                await connection.fetchval(INSERT)
                raise LookupError
        await connection.fetchval(INSERT)

    run(marked.url, work)
    assert marks(marked) == 2


def test_wait_for_a_connection_is_bounded(marked: Ledger) -> None:
    async def main() -> None:
        async with opened(marked.url, pool_max=1, pool_wait=0.05) as database:
            async with database.connection():
                with pytest.raises(Problem) as caught:
                    await database.fetchval("SELECT 1")
                assert caught.value.kind == "unavailable"
            assert await database.fetchval("SELECT 1") == 1

    asyncio.run(main())


def test_statement_cache_can_be_off(marked: Ledger) -> None:
    async def main() -> None:
        async with opened(marked.url, statement_cache_size=0, pool_max=1) as database:
            for _ in range(3):
                assert await database.fetchval("SELECT $1::int", 1) == 1
            named = await database.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
            assert named == 0

    asyncio.run(main())
