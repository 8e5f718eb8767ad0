"""async_api behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import asyncpg
import httpx2
import psycopg
import pytest

from tests.async_api import pgbouncer
from tests.contract import servers
from tests.contract.fixtures import Ledger, ledger_problems, order
from tests.contract.servers import ROOT, Server

pytestmark = pytest.mark.pgbouncer

SERVERS = 5  # connections to PostgreSQL
USERS = 50


@pytest.fixture
def made(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


def connections(ledger: Ledger) -> int:
    """Of clients to this database, but for the one that asks."""
    [(count,)] = ledger.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return int(count)


async def ask(server: Server, ledger: Ledger, calls: list[tuple[str, str, Any]]) -> list[httpx2.Response]:
    """All at once, each on a connection of its own."""
    headers = {"authorization": f"Bearer {ledger.api_key}"}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        base_url=server.url, headers=headers, timeout=30, limits=limits, trust_env=False
    ) as client:
        return list(await asyncio.gather(*(client.request(m, path, json=body) for m, path, body in calls)))


def test_reads_and_writes_of_many_share_a_few_connections(made: Ledger) -> None:
    accounts = made.accounts()[:4]
    calls: list[tuple[str, str, Any]] = []
    for number in range(60):
        pair = accounts[number % 4], accounts[(number + 1) % 4]
        calls.append(("POST", "/payments", order(*pair, "0.01")))
        calls.append(("GET", f"/accounts/{pair[0]}/transactions?limit={number + 1}", None))
    with (
        pgbouncer.running(made.url, default_pool_size=SERVERS, query_wait_timeout=20) as url,
        servers.async_(url, STATEMENT_CACHE_SIZE="0", POOL_MAX="60", POOL_WAIT="20") as server,
    ):
        answers = asyncio.run(ask(server, made, calls))
        assert {answer.status_code for answer in answers} == {200, 201}
        assert connections(made) <= SERVERS
    assert ledger_problems(made.url) == []


async def _elsewhere(url: str, cache_size: int) -> None:
    """The same statement again, when its first connection to PostgreSQL is lent to somebody else."""
    one = await asyncpg.connect(url, statement_cache_size=cache_size)
    other = await asyncpg.connect(url, statement_cache_size=cache_size)
    try:
        assert await one.fetchval("SELECT $1::int", 0) == 0
        async with other.transaction():
            await other.execute("SELECT 1")
            assert [await one.fetchval("SELECT $1::int", n) for n in range(3)] == [0, 1, 2]
    finally:
        for client in (one, other):
            client.terminate()


def test_named_prepared_statements_break_and_unnamed_ones_do_not(made: Ledger) -> None:
    with pgbouncer.running(made.url, default_pool_size=2) as url:
        asyncio.run(_elsewhere(url, 0))
        if pgbouncer.version() < (1, 21):  # newer ones can follow them, if max_prepared_statements is set
            with pytest.raises(asyncpg.InvalidSQLStatementNameError):
                asyncio.run(_elsewhere(url, 100))


SESSION = r"""pg_(try_)?advisory_lock|\b(UN)?LISTEN\b|\bSET (SESSION|TIME ZONE|search_path)|\bTEMP(ORARY)?\b
|\.add_listener|\.prepare\(|\.set_type_codec|\bDECLARE\b|server_settings|WITH HOLD"""


def test_nothing_in_the_service_outlives_a_transaction() -> None:
    found = [
        f"{path.name}: {match[0]}"
        for path in (ROOT / "async_api").rglob("*.py")
        for match in re.finditer(SESSION.replace("\n", ""), path.read_text())
    ]
    assert found == []


@contextmanager
def own_pool(url: str) -> Iterator[Server]:
    with servers.async_(url, POOL_MAX=str(SERVERS), POOL_WAIT="0.5") as server:
        yield server


@contextmanager
def behind_pgbouncer(url: str) -> Iterator[Server]:
    with (
        pgbouncer.running(url, default_pool_size=SERVERS, query_wait_timeout=1) as bounced,
        servers.async_(bounced, STATEMENT_CACHE_SIZE="0", POOL_MAX=str(USERS)) as server,
    ):
        yield server


@pytest.mark.parametrize("running", [own_pool, behind_pgbouncer])
def test_ten_times_more_users_than_connections_wait_a_little_and_then_get_503(
    running: Callable[[str], AbstractContextManager[Server]], made: Ledger
) -> None:
    """Somebody locks the table: whoever has a connection keeps it. Later all are answered."""
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"/payments?account_id={made.accounts()[0]}&limit={n}", None) for n in range(1, USERS + 1)
    ]
    with running(made.url) as server:
        with psycopg.connect(made.url) as blocker:
            blocker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            answers = asyncio.run(_answered_until(server, made, calls, USERS - SERVERS, blocker))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(refused) == USERS - SERVERS
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {a.status_code for a in answers} == {200, 503}
        again = asyncio.run(ask(server, made, calls[: SERVERS * 2]))
        assert {answer.status_code for answer in again} == {200}


async def _answered_until(
    server: Server, ledger: Ledger, calls: list[tuple[str, str, Any]], count: int, blocker: psycopg.Connection
) -> list[httpx2.Response]:
    """Asks all at once; the blocker lets go when that many are answered."""
    headers = {"authorization": f"Bearer {ledger.api_key}"}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        base_url=server.url, headers=headers, timeout=30, limits=limits, trust_env=False
    ) as client:
        pending = {asyncio.create_task(client.request(m, path)) for m, path, _ in calls}
        done: set[asyncio.Task[httpx2.Response]] = set()
        while len(done) < count:
            landed, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= landed
        blocker.rollback()
        return [await task for task in (*done, *pending)]
