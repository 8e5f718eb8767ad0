"""A store that is slow for a while, and clients that try again: it recovers, and nothing stays owed."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proxy.cli.demo.postgres import Postgres
from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Proceed, Record, Replay
from proxy.core.settings import LEGACY
from proxy.store import Claims, StoreUnavailable, claims_file, gate, postgresql, statements
from proxy.store.engines import async_engine
from proxy.store.gate import Kind
from tests.store.test_claims import ANSWER, execute, opened, proceed, wanted
from tests.store.test_clocks import states

pytestmark = pytest.mark.anyio

USUAL = 0.004  # seconds of the one processor of the database for each statement that writes
WRITES = 800
_tokens = itertools.count()

# One processor: whoever comes waits for those before, whether anybody still waits for the answer or not.
_ONE_PROCESSOR = (
    "CREATE TABLE cost (seconds DOUBLE PRECISION)",
    f"INSERT INTO cost VALUES ({USUAL})",
    """CREATE FUNCTION work() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(81); PERFORM pg_sleep(seconds) FROM cost; RETURN NULL; END'""",
    "CREATE TRIGGER work BEFORE INSERT OR UPDATE ON claims FOR EACH STATEMENT EXECUTE FUNCTION work()",
)


@dataclass
class Crowd:
    """Clients that all want one write each, and try until they know its outcome."""

    claims: Claims
    executed: Counter[str] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)  # seconds that a 503 took

    async def run(self, writes: int) -> None:
        await asyncio.gather(*(self._client(f"k{number}") for number in range(writes)))

    async def _client(self, key: str) -> None:
        for attempt in itertools.count():
            if await self._try(key):
                return
            await asyncio.sleep(min(1.0, 0.1 * 2**attempt) * (0.5 + random.random()))

    async def _try(self, key: str) -> bool:
        begun = time.monotonic()
        try:
            verdict = await self.claims.claim(wanted(key, f"t{next(_tokens)}"))
        except StoreUnavailable:
            self.refused.append(time.monotonic() - begun)
            return False
        if isinstance(verdict, Proceed):
            self.executed[key] += 1
            await self._save(idem.complete(verdict.record, ANSWER, time.time()))
            return True
        return isinstance(verdict, Replay) or getattr(verdict, "unknown", False)

    async def _save(self, done: Record) -> None:
        try:
            await self.claims.change(done)
        except StoreUnavailable:
            self.claims.owe(idem.lose(idem.send(idem.claim(wanted(done.key, done.token))), time.time()))


async def nothing_is_owed(claims: Claims) -> None:
    async with asyncio.timeout(10):
        while claims._owed:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_database_that_was_slow_recovers_under_its_clients_retries(postgres: Postgres) -> None:
    url = postgres.database("overload")
    async with opened(url, held=list) as claims:
        await claims.claim(wanted("first", "first"))
        for statement in _ONE_PROCESSOR:
            await execute(url, statement)
        await execute(url, "UPDATE cost SET seconds = 0.2")
        crowd = Crowd(claims)
        clients = asyncio.create_task(crowd.run(WRITES))
        await asyncio.sleep(5)
        assert not clients.done()
        await execute(url, "UPDATE cost SET seconds = :usual", usual=USUAL)
        async with asyncio.timeout(40):
            await clients
        await nothing_is_owed(claims)
    assert max(crowd.executed.values()) == 1
    quick = sum(seconds < 1.0 for seconds in crowd.refused)
    assert quick > len(crowd.refused) / 2, "they are told before they would have lost patience"
    left = {key: state for key, state in (await states(url)).items() if key != "first"}
    assert len(left) == WRITES
    assert set(left.values()) <= {"completed", "unknown"}
    postgres.drop("overload")


@pytest.fixture
def no_house(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is paid or renewed by itself."""

    async def nothing(self: Claims) -> None:
        return

    monkeypatch.setattr(Claims, "_keep_house", nothing)


@pytest.mark.usefixtures("no_house")
async def test_a_claim_that_never_reached_the_store_owes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WAIT", 0.05)
    async with opened(url) as claims:
        await claims.claim(wanted("first", "first"))
        for _ in range(claims._gate._places[Kind.CLAIM]):
            await claims._gate.enter(Kind.CLAIM)
        with pytest.raises(StoreUnavailable, match="no turn"):
            await claims.claim(wanted("k"))
        assert not claims._owed
        for _ in range(claims._gate._places[Kind.CLAIM]):
            claims._gate.leave(Kind.CLAIM, answered=True)
        assert isinstance(await claims.claim(wanted("k", "t2")), Proceed)


@pytest.mark.usefixtures("no_house")
async def test_what_the_database_itself_has_ended_owes_nothing(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is quicker than its callers' patience: no connection is lost, and nothing runs on without them."""
    url = postgres.database("ended")
    async with opened(url) as claims:
        await claims.claim(wanted("first", "first"))
        engine = async_engine(url)
        async with engine.begin() as connection:
            await connection.exec_driver_sql("LOCK TABLE claims")
            found = await asyncio.gather(
                *(claims.claim(wanted(f"k{number}", f"t{number}")) for number in range(6)),
                return_exceptions=True,
            )
            assert all(isinstance(each, StoreUnavailable) for each in found), found
            assert all("statement timeout" in str(each) for each in found), found
            assert not claims._owed
        await engine.dispose()
        assert isinstance(await claims.claim(wanted("k0", "t")), Proceed)
    postgres.drop("ended")


@pytest.mark.usefixtures("no_house")
async def test_a_claim_that_may_have_been_written_is_owed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(url) as claims:
        await claims.claim(wanted("first", "first"))

        def lost(connection: Any, asked: Any) -> Any:
            raise sa.exc.DBAPIError("", None, OSError("connection reset"))

        with monkeypatch.context() as broken:
            broken.setattr(statements, "claim", lost)
            with pytest.raises(StoreUnavailable, match="connection reset"):
                await claims.claim(wanted("k"))
        assert [key for key, _ in claims._owed] == ["k"]


@pytest.mark.usefixtures("no_house")
async def test_a_locked_file_is_an_error_at_once_and_owes_nothing(tmp_path: Path) -> None:
    """One that is locked for long: the first ones wait, and those that come then are told."""
    url = f"sqlite:///{tmp_path}/state.db"
    async with opened(url) as claims:
        await claims.claim(wanted("first", "first"))
        with closing(sqlite3.connect(claims_file(url), isolation_level=None)) as locker:
            locker.execute("BEGIN IMMEDIATE")
            crowd = Crowd(claims)
            clients = asyncio.create_task(crowd.run(100))
            await asyncio.sleep(5)
            locker.execute("ROLLBACK")
        assert not claims._owed
        async with asyncio.timeout(10):
            await clients
        await nothing_is_owed(claims)
    assert max(crowd.executed.values()) == 1
    slow = sum(seconds > 0.2 for seconds in crowd.refused)
    assert len(crowd.refused) - slow > slow
    assert set((await states(url)).values()) - {"sent"} == {"completed"}


@pytest.mark.usefixtures("no_house")
async def test_many_debts_are_one_call_and_become_what_each_would(url: str) -> None:
    async with opened(url) as claims:
        doubtful = idem.lose(await proceed(claims, wanted("doubtful", "d1")), time.time())
        await claims.change(doubtful)
        again = await proceed(claims, wanted("doubtful", "d2", idempotent=frozenset({LEGACY})))
        unsent = await proceed(claims, wanted("unsent", "u"))
        failed = await proceed(claims, wanted("failed", "f"))
        taken = await proceed(claims, wanted("taken", "t"))
        lost = await proceed(claims, wanted("lost", "l"))
        claims.owe(idem.release(replace(again, doubtful=False), time.time()))
        claims.owe(idem.withdraw(unsent, time.time()))
        claims.owe(idem.release(failed, time.time(), failed=True))
        claims.owe(idem.release(replace(taken, token="another"), time.time()))
        claims.owe(idem.lose(lost, time.time()))
        await claims._pay()
        assert [key for key, _ in claims._owed] == ["lost"], "another state is another call"
        await claims._pay()
        rows = {row.key: row for row in await execute(url, "SELECT * FROM claims")}
        assert {key: row.state for key, row in rows.items()} == {
            "doubtful": "unknown",
            "unsent": "released",
            "failed": "released",
            "taken": "sent",
            "lost": "unknown",
        }
        assert (rows["unsent"].unsent, rows["failed"].unsent) == ("u", None)
        assert [bool(rows[key].failed) for key in ("unsent", "failed")] == [False, True]
        assert list(claims._vain) == ["another"]
        assert not claims._owed


@pytest.mark.usefixtures("no_house")
async def test_one_debt_that_cannot_be_paid_does_not_keep_the_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as claims:
        for number in range(20):
            claims.owe(idem.withdraw(await proceed(claims, wanted(f"k{number}", f"t{number}")), time.time()))
        change_all = claims._change_all

        async def broken(records: Sequence[Record]) -> list[bool]:
            if any(record.key == "k3" for record in records):
                raise StoreUnavailable("not this one")
            return await change_all(records)

        monkeypatch.setattr(claims, "_change_all", broken)
        for _ in range(100):
            with suppress(StoreUnavailable):
                await claims._pay()
        assert [key for key, _ in claims._owed] == ["k3"]
        monkeypatch.undo()
        await claims._pay()
        assert set((await states(url)).values()) == {"released"}


async def test_the_lease_is_renewed_while_claims_and_debts_wait(postgres: Postgres) -> None:
    url = postgres.database("lease_first")
    async with opened(url) as claims:
        assert isinstance(claims, postgresql.PostgresqlClaims)
        await claims.claim(wanted("first", "first"))
        engine = async_engine(url)
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.exec_driver_sql("LOCK TABLE claims")
            crowd = asyncio.create_task(Crowd(claims).run(500))
            for number in range(500):
                claims.owe(idem.withdraw(idem.send(idem.claim(wanted(f"x{number}"))), time.time()))
            for _ in range(3):
                before = claims._renewed
                async with asyncio.timeout(5):
                    while claims._renewed == before:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        await engine.dispose()
        async with asyncio.timeout(20):
            await crowd
        await nothing_is_owed(claims)
    postgres.drop("lease_first")


@pytest.mark.usefixtures("no_house")
async def test_many_claims_that_find_the_lease_old_renew_it_once(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database("lease_once")
    async with opened(url) as claims:
        assert isinstance(claims, postgresql.PostgresqlClaims)
        renewals = 0
        renew = claims._renew

        def counted(connection: sa.Connection) -> None:
            nonlocal renewals
            renewals += 1
            renew(connection)

        monkeypatch.setattr(claims, "_renew", counted)
        await asyncio.gather(*(proceed(claims, wanted(f"k{number}", f"t{number}")) for number in range(6)))
        assert renewals == 1
    postgres.drop("lease_once")
