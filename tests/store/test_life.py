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
from proxy.store import Claims, StoreUnavailable, attend, claims_file, start_anew
from proxy.store import claims as module
from proxy.store.life import MARKER
from tests.store.test_claims import ANSWER, opened, proceed, wanted
from tests.support.waiting import eventually_async

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


async def test_a_worker_that_never_opened_its_store_counts_as_alive(url: str) -> None:
    """It came after the first one, or was refused the store, and is adopted by a new control process."""
    async with opened(url, "a") as one:
        await one.change(idem.complete(await proceed(one, wanted("used")), ANSWER, time.time()))
    claims_file(url).unlink()
    first, second = attend(url), attend(url)
    assert first is not None
    assert second is not None
    for ends in (first, second):
        start_anew(url)
        async with opened(url, "b") as claims:
            with pytest.raises(StoreUnavailable, match="was deleted or replaced"):
                await claims.claim(wanted("used", "t2", incarnation="b"))
        os.close(ends)
    start_anew(url)
    async with opened(url, "c") as claims:
        assert isinstance(await claims.claim(wanted("used", "t3", incarnation="c")), Proceed)


def put_in(file: Path, copy: Path) -> None:
    """`copy` in the place of the database, with its inode's number: file systems give numbers again."""
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    file.write_bytes(copy.read_bytes())


async def copied(url: str, directory: Path, how: str) -> Path:
    """A copy of the claims, which is some rounds of the house older than what the caller finds then."""
    copy = directory / "copy.db"
    if how == "without its -wal":
        shutil.copy(claims_file(url), copy)
    with closing(sqlite3.connect(claims_file(url))) as source, closing(sqlite3.connect(copy)) as target:
        if how == "backup":
            source.backup(target)
    with closing(sqlite3.connect(copy)) as target:
        [then] = target.execute("PRAGMA user_version").fetchone()

    async def older() -> bool:
        text = (claims_file(url).with_suffix(".incarnations") / MARKER).read_text()
        return int(text.split()[1]) > then

    assert await eventually_async(older)
    return copy


@pytest.mark.parametrize("how", ["backup", "without its -wal"])
async def test_an_older_copy_of_the_file_is_not_taken_for_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.05)
    async with opened(url, "a") as claims:
        await proceed(claims, wanted("early"))
        copy = await copied(url, tmp_path, how)
        await claims.change(idem.complete(await proceed(claims, wanted("used")), ANSWER, time.time()))
    newest = tmp_path / "newest.db"
    shutil.copy(claims_file(url), newest)
    put_in(claims_file(url), copy)
    async with opened(url, "b") as claims:
        for key in ("used", "fresh"):
            with pytest.raises(StoreUnavailable, match="is an older copy"):
                await claims.claim(wanted(key, f"{key}2", incarnation="b"))
        put_in(claims_file(url), newest)
        assert isinstance(await claims.claim(wanted("used", "t3", incarnation="b")), Replay)
    put_in(claims_file(url), copy)
    start_anew(url)
    async with opened(url, "c") as claims:
        assert isinstance(await claims.claim(wanted("used", "t4", incarnation="c")), Proceed)


async def test_workers_that_count_rounds_together_know_their_file_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a round fails, and when what lies beside the file was deleted."""
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.01)
    async with opened(url, "a") as one, opened(url, "b") as other:
        await proceed(one, wanted("first"))
        await proceed(other, wanted("second", incarnation="b"))
        for round in range(20):
            break_connection = one._submit(lambda connection: connection.exec_driver_sql("no SQL"))  # type: ignore[attr-defined]
            with pytest.raises(StoreUnavailable, match="syntax error"):
                await break_connection
            await proceed(one, wanted(f"k{round}"))
        shutil.rmtree(claims_file(url).with_suffix(".incarnations"))

        async def marked() -> bool:
            return (claims_file(url).with_suffix(".incarnations") / MARKER).exists()

        assert await eventually_async(marked)
    async with opened(url, "c") as claims:
        await proceed(claims, wanted("third", incarnation="c"))


async def test_a_start_tells_whether_what_was_known_of_keys_is_gone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.05)
    assert start_anew(url), "nothing says that there was never anything"
    lock = attend(url)
    assert lock is not None
    os.close(lock)
    assert not start_anew(url), "a worker was there, and nobody has claimed anything"
    async with opened(url, "a") as claims:
        await proceed(claims, wanted("k"))
        copy = await copied(url, tmp_path, "backup")
        assert not start_anew(url), "a worker has it"
    assert not start_anew(url)
    async with opened(url, "b") as claims:
        await proceed(claims, wanted("k2", incarnation="b"))
    put_in(claims_file(url), copy)
    assert start_anew(url), "a backup"
    async with opened(url, "c") as claims:
        await proceed(claims, wanted("k3", incarnation="c"))
    os.replace(shutil.copy(claims_file(url), tmp_path / "moved"), claims_file(url))
    assert not start_anew(url), "the same in another place"
    async with opened(url, "d") as claims:
        await proceed(claims, wanted("k4", incarnation="d"))
    claims_file(url).write_bytes(b"no database, but something else of more than a few bytes")
    assert start_anew(url)
    async with opened(url, "e") as claims:
        with pytest.raises(StoreUnavailable):
            await claims.claim(wanted("k5", incarnation="e"))
        claims_file(url).unlink()
    async with opened(url, "f") as claims:
        await proceed(claims, wanted("k6", incarnation="f"))
    claims_file(url).unlink()
    assert start_anew(url)


async def test_what_was_withdrawn_before_the_store_had_it_is_released_when_it_comes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.05)
    monkeypatch.setattr("proxy.store.sqlite.UNHELD", 0.0)
    async with opened(url, "a", list) as claims, opened(url, "b") as late:
        first = wanted("late", incarnation="a")
        claims.owe(idem.withdraw(idem.send(idem.claim(first)), first.now))

        async def in_vain() -> bool:
            return bool(claims._vain)

        await eventually_async(in_vain)
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

        assert await eventually_async(free)


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

        assert await eventually_async(said)
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
