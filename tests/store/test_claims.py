from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proxy.cli.demo.postgres import Postgres
from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import ClaimRequest, Proceed, Record, Refuse, Replay, StoredAnswer
from proxy.core.settings import ASYNC, LEGACY, BackendName
from proxy.store import (
    Claims,
    StoreUnavailable,
    claims_file,
    is_sqlite,
    open_claims,
    postgresql,
    statements,
)
from proxy.store import claims as module
from proxy.store.engines import async_engine
from proxy.store.gate import Overloaded
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

ANSWER = StoredAnswer(201, b"HTTP/1.1 201 Created\r\n", b"\x00\xff{}")


def wanted(key: str, token: str = "t", backend: BackendName = LEGACY, **given: Any) -> ClaimRequest:
    values: dict[str, Any] = {"incarnation": "a", "now": time.time(), "ttl": 60.0, "idempotent": frozenset()}
    return ClaimRequest(key, "p", "POST /x", key, "f", backend, token=token, **{**values, **given})


@asynccontextmanager
async def opened(
    url: str, incarnation: str = "a", held: Callable[[], Iterable[str]] | None = None
) -> AsyncIterator[Claims]:
    claims = open_claims(url, incarnation, held)
    try:
        yield claims
    finally:
        await claims.close()


async def proceed(claims: Claims, request: ClaimRequest) -> Record:
    verdict = await claims.claim(request)
    assert isinstance(verdict, Proceed), verdict
    return verdict.record


async def execute(url: str, statement: str, **parameters: Any) -> list[Any]:
    """On the database of the claims, from outside."""
    engine = async_engine(url, claims_file(url) if is_sqlite(url) else None)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(sa.text(statement), parameters)
            return list(result) if result.returns_rows else []
    finally:
        await engine.dispose()


async def age(url: str, seconds: float) -> None:
    """All that is stored becomes older."""
    times = (f"{name} = {name} - :by" for name in ("created_at", "updated_at", "expires_at"))
    await execute(url, f"UPDATE claims SET {', '.join(times)}", by=seconds)


async def test_of_many_claims_on_one_key_one_proceeds(url: str) -> None:
    async with opened(url) as claims:
        requests = (claims.claim(wanted("k", f"t{n}")) for n in range(40))
        verdicts = await asyncio.gather(*requests, return_exceptions=True)
        late = [verdict for verdict in verdicts if isinstance(verdict, Overloaded)]  # on a busy machine
        assert len(late) < 20
        assert sum(isinstance(verdict, Proceed) for verdict in verdicts) == 1
        assert sum(isinstance(verdict, Refuse) for verdict in verdicts) == 39 - len(late)
        assert {v.kind for v in verdicts if isinstance(v, Refuse)} == {"idempotency_in_flight"}


async def test_of_many_workers_that_want_one_released_key_one_proceeds(url: str) -> None:
    async with opened(url, "a") as one, opened(url, "b") as other:
        await one.change(idem.release(await proceed(one, wanted("k", "t0")), time.time()))
        requests = [
            (claims, wanted("k", f"{claims.incarnation}{n}")) for claims in (one, other) for n in range(9)
        ]
        verdicts = await asyncio.gather(*(claims.claim(request) for claims, request in requests))
        assert sum(isinstance(verdict, Proceed) for verdict in verdicts) == 1


async def test_an_answer_is_replayed_after_everything_was_restarted(url: str) -> None:
    async with opened(url, "a") as claims:
        record = await proceed(claims, wanted("k"))
        assert await claims.change(idem.complete(record, ANSWER, time.time()))
    async with opened(url, "b") as claims:
        assert await claims.claim(wanted("k", "t2", ASYNC)) == Replay(LEGACY, ANSWER)


async def test_only_the_attempt_that_holds_a_claim_changes_it(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k"))
        assert not await claims.change(idem.release(replace(record, token="other"), time.time()))
        assert await claims.change(idem.release(record, time.time()))
        assert not await claims.change(idem.complete(record, ANSWER, time.time()))


async def test_a_released_key_stays_with_its_owner(url: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.release(await proceed(claims, wanted("k")), time.time()))
        assert (await proceed(claims, wanted("k", "t2", ASYNC))).owner == LEGACY


async def test_a_move_is_stored(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k", backend=ASYNC))
        moved = idem.move(record, LEGACY, time.time())
        assert await claims.change(moved)
        await claims.change(idem.release(moved, time.time()))
        assert (await proceed(claims, wanted("k", "t2", ASYNC))).owner == LEGACY


async def test_what_a_dead_worker_had_sent_becomes_unknown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LEASE", 0.5)
    async with opened(url, "dead") as dead:
        await proceed(dead, wanted("k", incarnation="dead"))
    async with opened(url, "a") as claims:

        async def unknown() -> bool:
            verdict = await claims.claim(wanted("k", "t2"))
            assert isinstance(verdict, Refuse)
            return verdict.unknown

        assert await eventually_async(unknown)


async def test_a_living_worker_keeps_what_it_has_sent(url: str) -> None:
    async with opened(url, "a") as one, opened(url, "b") as other:
        record = await proceed(one, wanted("k"))
        await other._keep_alive()
        assert await one.change(idem.complete(record, ANSWER, time.time()))
        assert await other.claim(wanted("k", "t2")) == Replay(LEGACY, ANSWER)


async def test_a_worker_that_was_only_thought_dead_may_still_complete(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k"))
        await claims.change(idem.lose(record, time.time()))
        assert await claims.change(idem.complete(record, ANSWER, time.time()))


async def test_what_is_sent_again_in_doubt_does_not_become_released(url: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.lose(await proceed(claims, wanted("k")), time.time()))
        again = wanted("k", "t2", idempotent=frozenset({LEGACY}))
        record = await proceed(claims, again)
        assert record.doubtful
        assert await claims.change(idem.release(replace(record, doubtful=False), time.time()))
        verdict = await claims.claim(wanted("k", "t3"))
        assert isinstance(verdict, Refuse)
        assert verdict.unknown


async def test_pruning_takes_what_has_expired_and_never_what_is_open(url: str) -> None:
    past = time.time() - 1000
    async with opened(url) as claims:
        await claims.change(idem.complete(await proceed(claims, wanted("done")), ANSWER, past))
        await claims.change(idem.release(await proceed(claims, wanted("free")), past))
        await claims.change(idem.lose(await proceed(claims, wanted("lost")), past))
        await proceed(claims, wanted("open"))
        await age(url, 1000)
        await claims.change(idem.complete(await proceed(claims, wanted("new")), ANSWER, time.time()))
        assert await claims._prune() == 2
        assert await claims._prune() == 0
        assert isinstance(await claims.claim(wanted("lost", "t2")), Refuse)
        assert isinstance(await claims.claim(wanted("open", "t2")), Refuse)
        assert isinstance(await claims.claim(wanted("new", "t2")), Replay)


async def test_an_answer_that_comes_after_the_ttl_is_remembered_for_another(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k", ttl=100.0))
        await claims.change(idem.lose(record, record.created_at + 1))
        await age(url, 1000)
        assert await claims.change(idem.complete(record, ANSWER, time.time()))
        assert await claims.claim(wanted("k", "t2", ASYNC)) == Replay(LEGACY, ANSWER)


async def test_what_is_owed_is_written_in_the_end(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k"))
        claims.owe(idem.lose(record, time.time()))

        async def unknown() -> bool:
            verdict = await claims.claim(wanted("k", "t2"))
            return isinstance(verdict, Refuse) and verdict.unknown

        assert await eventually_async(unknown)


async def test_too_many_calls_are_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 0)
    async with opened(url) as claims:
        with pytest.raises(StoreUnavailable, match="too many"):
            await claims.claim(wanted("k"))


async def test_a_locked_file_is_an_error_in_time_and_the_claim_is_free_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    async with opened(url) as claims:
        await proceed(claims, wanted("first"))
        locker = sqlite3.connect(claims_file(url), isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await claims.claim(wanted("k"))
        locker.execute("ROLLBACK")
        locker.close()

        async def free() -> bool:
            try:
                return isinstance(await claims.claim(wanted("k", "t2")), Proceed)
            except StoreUnavailable:
                return False

        assert await eventually_async(free)


async def test_a_claim_that_nobody_waited_for_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
        await proceed(claims, wanted("first"))
        monkeypatch.setattr(module, "CLAIM_TIMEOUT", 0.0)
        with pytest.raises(StoreUnavailable, match="within 0 s"):
            await claims.claim(wanted("k"))
        monkeypatch.undo()

        async def free() -> bool:
            return isinstance(await claims.claim(wanted("k", "t2")), Proceed)

        assert await eventually_async(free)


async def test_a_database_that_is_not_there_is_an_error_in_time() -> None:
    async with opened("postgresql://postgres@127.0.0.1:9/none") as claims:
        with pytest.raises(StoreUnavailable):
            await claims.claim(wanted("k"))


async def test_whatever_a_driver_raises_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise TypeError("unexpected keyword argument")

    async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
        await proceed(claims, wanted("first"))
        monkeypatch.setattr(claims, "_claim", broken)
        monkeypatch.setattr(claims, "_change", broken)
        with pytest.raises(StoreUnavailable, match="TypeError: unexpected keyword argument"):
            await claims.claim(wanted("k"))
        with pytest.raises(StoreUnavailable):
            await claims.change(idem.release(idem.send(idem.claim(wanted("k"))), time.time()))


async def test_what_cannot_be_opened_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_claims("postgresql://u@127.0.0.1:port/none", "a")


async def test_the_house_is_kept_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.01)
    async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
        record = await proceed(claims, wanted("k"))
        faults: list[int] = []

        async def broken() -> None:
            faults.append(1)
            raise LookupError("a fault")

        async def failed_twice() -> bool:
            return len(faults) >= 2

        monkeypatch.setattr(claims, "_change_all", lambda records: broken())
        claims.owe(idem.release(record, time.time()))
        assert await eventually_async(failed_twice)
        monkeypatch.undo()

        async def free() -> bool:
            return isinstance(await claims.claim(wanted("k", "t2")), Proceed)

        assert await eventually_async(free)


async def test_the_lease_is_renewed_while_much_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always one more batch, and every round of the house ends all the same."""
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.01)
    monkeypatch.setattr(module, "PRUNING", 0.0)
    monkeypatch.setattr(module, "ROUND", 0.01)
    async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
        done: list[str] = []

        async def prune() -> int:
            done.append("pruned")
            return 1

        async def keep_alive() -> int:
            done.append("renewed")
            return 0

        monkeypatch.setattr(claims, "_prune", prune)
        monkeypatch.setattr(claims, "_keep_alive", keep_alive)

        async def both() -> bool:
            return done.count("renewed") >= 3 and "pruned" in done

        assert await eventually_async(both)


async def test_pruning_spares_what_is_claimed_anew_meanwhile(postgres: Postgres) -> None:
    url = postgres.database("prune_race")
    engine = async_engine(url)
    async with opened(url) as claims:
        await claims.change(idem.complete(await proceed(claims, wanted("k")), ANSWER, time.time()))
        await age(url, 1000)
        async with engine.begin() as connection:
            await connection.run_sync(statements.claim, wanted("k", "t2"))
            pruning = asyncio.create_task(claims._prune())

            async def waits() -> bool:
                async with engine.connect() as other:
                    locks = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                    return bool((await other.exec_driver_sql(locks)).scalar())

            assert await eventually_async(waits)
        assert await pruning == 0
        assert isinstance(await claims.claim(wanted("k", "t3")), Refuse)
    await engine.dispose()
    postgres.drop("prune_race")


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    async with opened(url) as claims:
        await proceed(claims, wanted("k"))
        assert claims_file(url).stat().st_mode & 0o077 == 0


async def test_what_cannot_be_owed_is_said_once_until_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "OWED", 4)
    async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
        claims._housekeeper.cancel()
        for round_ in range(2):
            for number in range(50):
                asked = wanted(f"k{number}", f"t{round_}-{number}")
                claims.owe(idem.withdraw(idem.send(idem.claim(asked)), asked.now))
            said = [record for record in caplog.records if "cannot be stored" in record.message]
            assert len(said) == round_ + 1
            claims._owed.clear()
