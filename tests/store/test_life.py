"""A SQLite claims file, or what lies beside it, that is deleted or replaced under running workers."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import ClaimRequest, Proceed, Refuse, Replay
from proxy.store import Claims, StoreUnavailable, claims_file, start_anew
from proxy.store import claims as module
from tests.store.test_claims import ANSWER, eventually, opened, proceed, wanted

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_no_key_is_given_out_when_the_file_was_taken_away(url: str, suffix: str, how: str) -> None:
    async with opened(url, "a") as one, opened(url, "b") as other:
        await one.change(idem.complete(await proceed(one, wanted("used")), ANSWER, time.time()))
        await proceed(other, wanted("open", incarnation="b"))
        path = Path(f"{claims_file(url)}{suffix}")
        if how == "replaced":
            shutil.copy(path, f"{path}.new")
            os.replace(f"{path}.new", path)
        else:
            os.unlink(path)
        for key in ("used", "fresh"):
            for claims in (one, other):
                with pytest.raises(StoreUnavailable, match="was deleted or replaced while it was in use"):
                    await claims.claim(wanted(key, f"{key}2"))


async def test_a_worker_that_starts_beside_those_with_the_lost_file_gives_out_no_key(url: str) -> None:
    async with opened(url, "a") as one:
        await one.change(idem.complete(await proceed(one, wanted("used")), ANSWER, time.time()))
        claims_file(url).unlink()
        async with opened(url, "b") as other:
            with pytest.raises(StoreUnavailable, match=r"worker \(a\) still has another claims file open"):
                await other.claim(wanted("used", "t2"))
        assert not claims_file(url).exists(), "it would pass for the real one after the next restart"


async def test_a_file_that_is_lost_when_nobody_is_left_is_not_begun_anew_but_by_a_new_start(url: str) -> None:
    """One worker after the other ends, in a rolling restart or by crashes: that is no new start."""
    async with opened(url, "a") as one:
        await one.change(idem.complete(await proceed(one, wanted("used")), ANSWER, time.time()))
    kept = claims_file(url).rename(tmp := claims_file(url).with_suffix(".away"))
    async with opened(url, "b") as claims:
        for key in ("used", "fresh"):
            with pytest.raises(StoreUnavailable, match="was deleted or replaced"):
                await claims.claim(wanted(key, f"{key}2"))
        assert not claims_file(url).exists()
        tmp.rename(claims_file(url))
        assert isinstance(await claims.claim(wanted("used", "t3")), Replay)
    kept.unlink(missing_ok=True)
    claims_file(url).unlink()
    start_anew(url)
    async with opened(url, "c") as claims:
        assert isinstance(await claims.claim(wanted("used", "t4", incarnation="c")), Proceed)
        start_anew(url)  # another proxy starts with the same state: this one still has its file
        claims_file(url).unlink()
    async with opened(url, "d") as claims:
        with pytest.raises(StoreUnavailable, match="was deleted or replaced"):
            await claims.claim(wanted("used", "t5", incarnation="d"))


async def test_what_was_withdrawn_before_the_store_had_it_is_released_when_it_comes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.05)
    monkeypatch.setattr("proxy.store.sqlite.UNHELD", 0.0)
    async with opened(url, "a") as claims, opened(url, "b") as late:
        claims.held = list
        first = wanted("late", incarnation="a")
        claims.owe(idem.withdraw(idem.send(idem.claim(first)), first.now))

        async def in_vain() -> bool:
            return bool(claims._vain)

        await eventually(in_vain)
        await late.claim(first)  # the delayed statement of the one that gave up
        other = wanted("late", "t2", incarnation="b")
        await eventually_proceeds(late, other)


async def eventually_proceeds(claims: Claims, asked: ClaimRequest) -> None:
    """Released, not unknown: so another try is sent."""
    async with asyncio.timeout(15):
        while not isinstance(verdict := await claims.claim(asked), Proceed):
            assert not (isinstance(verdict, Refuse) and verdict.unknown)
            await asyncio.sleep(0.05)


async def test_a_worker_that_loses_its_connection_does_not_begin_a_new_file(url: str) -> None:
    async with opened(url, "a") as claims:
        claims._housekeeper.cancel()
        await proceed(claims, wanted("used"))
        break_connection = claims._submit(lambda connection: connection.exec_driver_sql("no SQL"))  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailable, match="syntax error"):
            await break_connection
        claims_file(url).unlink()
        with pytest.raises(StoreUnavailable, match="was deleted or replaced"):
            await claims.claim(wanted("used", "t2"))
        assert not claims_file(url).exists()


async def test_the_file_that_is_put_back_works_again(url: str) -> None:
    async with opened(url, "a") as claims:
        await claims.change(idem.complete(await proceed(claims, wanted("used")), ANSWER, time.time()))
        file = claims_file(url)
        file.rename(file.with_name("elsewhere"))
        with pytest.raises(StoreUnavailable):
            await claims.claim(wanted("fresh"))
        file.with_name("elsewhere").rename(file)
        assert isinstance(await claims.claim(wanted("used", "t2")), Replay)

        async def free() -> bool:
            return isinstance(await claims.claim(wanted("fresh", "t3")), Proceed)

        assert await eventually(free)


async def test_after_a_full_stop_everything_starts_anew_without_the_file(url: str) -> None:
    async with opened(url, "a") as claims:
        await proceed(claims, wanted("used"))
        claims_file(url).unlink()
    start_anew(url)
    async with opened(url, "b") as claims:
        assert isinstance(await claims.claim(wanted("used", "t2")), Proceed)


async def test_a_lost_file_is_said_once_and_loudly(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.01)
    async with opened(url, "a") as claims:
        await proceed(claims, wanted("used"))
        claims_file(url).unlink()

        async def said() -> bool:
            return bool(caplog.records)

        assert await eventually(said)
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                await claims.claim(wanted("used", "t2"))
        await asyncio.sleep(0.1)
        [line] = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert "was deleted or replaced while it was in use" in line.getMessage()


async def test_a_worker_whose_lock_was_deleted_takes_it_again(url: str) -> None:
    async with opened(url, "a") as one, opened(url, "b") as other:
        await proceed(one, wanted("first"))
        await other._keep_alive()
        shutil.rmtree(claims_file(url).with_suffix(".incarnations"))
        await one._keep_alive()
        await other._keep_alive()
        record = await proceed(one, wanted("k"))
        await other._keep_alive()
        verdict = await other.claim(wanted("k", "t2"))
        assert isinstance(verdict, Refuse)
        assert not verdict.unknown, "it lives"
        assert await one.change(idem.complete(record, ANSWER, time.time()))


async def test_other_commands_may_open_and_close_the_file_meanwhile(url: str) -> None:
    async with opened(url, "a") as claims:
        await proceed(claims, wanted("k"))
        for _ in range(3):
            with closing(sqlite3.connect(claims_file(url))) as connection:
                connection.execute("SELECT count(*) FROM claims").fetchone()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        await proceed(claims, wanted("k2"))
