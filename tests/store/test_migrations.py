"""Databases of older, newer and other programs. `version_0_1` is what version 0.1 made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Proceed, Refuse, Replay
from proxy.core.settings import ASYNC, LEGACY
from proxy.store import StoreUnavailable, claims_file, is_sqlite, steps
from proxy.store.engines import async_engine, sqlite_engine
from proxy.store.migrations import TooNew, migrate
from proxy.store.schema import metadata, versions
from proxy.store.steps import Step
from proxy.store.writes import listing
from tests.store.test_claims import ANSWER, opened, proceed, wanted

OF_0_1 = Path(__file__).parent / "version_0_1"
CLAIM_OF_0_1 = """
    INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token,
        created_at, updated_at, expires_at, status, head, body, note, doubtful)
    VALUES (:id, 'p', 'POST /x', :id, 'f', 'legacy', 'sent', 'old', :token,
        :now, :now, :later, NULL, NULL, NULL, '', :no)
    ON CONFLICT (id) DO UPDATE SET updated_at = claims.updated_at RETURNING token
"""
CHANGE_OF_0_1 = """
    UPDATE claims SET state = :state, updated_at = :now, expires_at = :later, status = 201, head = :head,
        body = :head, note = '' WHERE id = :id AND token = :token AND state IN ('sent', 'unknown')
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sqlite_engine(tmp_path / "x.db")
    yield engine
    engine.dispose()


def version(engine: sa.Engine, part: str) -> int | None:
    with engine.begin() as connection:
        return connection.scalar(sa.select(versions.c.version).where(versions.c.part == part))


async def execute(url: str, *statements: str, **parameters: Any) -> list[Any]:
    """On the database of the claims; the rows of the last statement."""
    file = claims_file(url) if is_sqlite(url) else None
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = async_engine(url, file)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(sa.text(statement), parameters)
            return list(result) if result.returns_rows else []
    finally:
        await engine.dispose()


async def make_0_1(url: str) -> None:
    dump = (OF_0_1 / ("sqlite.sql" if is_sqlite(url) else "postgresql.sql")).read_text()
    statements = [each.replace(":", "\\:") for each in dump.split(";\n") if each.strip()]
    await execute(url, *statements)


def test_a_part_is_made_once_and_without_the_others(engine: sa.Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            migrate(connection, "audit")
    assert version(engine, "audit") == 1
    assert set(sa.inspect(engine).get_table_names()) == {"audit", "strangler_versions"}


def test_only_the_steps_that_are_missing_are_taken(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        migrate(connection, "audit")
    grown = [
        *steps.PARTS["audit"],
        Step("CREATE TABLE two (x INTEGER);"),
        Step("ALTER TABLE two ADD y TEXT;"),
    ]
    monkeypatch.setitem(steps.PARTS, "audit", grown)
    for _ in range(2):
        with engine.begin() as connection:
            migrate(connection, "audit")
    assert [column["name"] for column in sa.inspect(engine).get_columns("two")] == ["x", "y"]
    assert version(engine, "audit") == 3


def test_a_database_of_a_later_version_is_left_alone(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        migrate(connection, "audit")
        connection.execute(versions.update().values(version=9))
    with (
        engine.begin() as connection,
        pytest.raises(TooNew, match=r"version 9.*supports 1.*run that version"),
    ):
        migrate(connection, "audit")


def test_a_later_program_that_only_added_columns_shuts_nobody_out(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Step("ALTER TABLE audit ADD COLUMN place TEXT;", compatible=True)
    with monkeypatch.context() as later:
        later.setitem(steps.PARTS, "audit", [*steps.PARTS["audit"], added])
        with engine.begin() as connection:
            migrate(connection, "audit")
    for _ in range(2):
        with engine.begin() as connection:
            migrate(connection, "audit")
    assert (version(engine, "audit"), version(engine, "audit+")) == (1, 2)


def test_what_is_committed_is_on_disk(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def columns(connection: sa.Connection) -> dict[str, Any]:
    inspector = sa.inspect(connection)
    return {
        table: (
            {each["name"]: (str(each["type"]), each["nullable"]) for each in inspector.get_columns(table)},
            sorted(inspector.get_pk_constraint(table)["constrained_columns"]),
            {each["name"]: each["column_names"] for each in inspector.get_indexes(table)},
        )
        for table in inspector.get_table_names()
    }


def migrate_all(connection: sa.Connection) -> None:
    for part in steps.PARTS:
        migrate(connection, part)


async def made(url: str, *, how: str) -> dict[str, Any]:
    engine = async_engine(url, claims_file(url) if is_sqlite(url) else None)
    try:
        async with engine.begin() as connection:
            if how == "steps":
                await connection.run_sync(migrate_all)
            else:
                await connection.run_sync(metadata.create_all)
            found = await connection.run_sync(columns)
            await connection.run_sync(metadata.drop_all)
        return found
    finally:
        await engine.dispose()


@pytest.mark.anyio
async def test_the_steps_make_the_tables_that_the_statements_are_written_for(url: str) -> None:
    await execute(url, "SELECT 1")
    assert await made(url, how="steps") == await made(url, how="tables")


@pytest.mark.anyio
async def test_a_new_database_is_one_of_version_0_1_that_was_upgraded(url: str) -> None:
    await execute(url, "SELECT 1")
    fresh = await made(url, how="steps")
    await make_0_1(url)
    assert await made(url, how="steps") == fresh


@pytest.mark.anyio
async def test_a_database_of_version_0_1_is_read_before_it_is_upgraded(url: str) -> None:
    await make_0_1(url)
    assert {record.key: record.state for record in await listing(url)} == {
        "done": "completed",
        "free": "released",
        "lost": "unknown",
        "open": "sent",
    }


@pytest.mark.anyio
async def test_what_version_0_1_knew_of_keys_holds_after_the_upgrade(url: str) -> None:
    await make_0_1(url)
    asked = {"now": 1790000002.0, "ttl": 86400.0}
    await execute(url, "UPDATE claims SET fingerprint = 'f', expires_at = 9e9")
    async with opened(url) as claims:
        verdict = await claims.claim(wanted("done", backend=ASYNC, **asked))
        assert isinstance(verdict, Replay)
        assert (verdict.owner, verdict.answer.body) == (LEGACY, b"paid")
        free = await claims.claim(wanted("free", backend=LEGACY, **asked))
        assert isinstance(free, Proceed)
        assert (free.existing, free.record.owner) == (True, ASYNC)
        for key in ("lost", "open"):
            refused = await claims.claim(wanted(key, **asked))
            assert isinstance(refused, Refuse)


@pytest.mark.anyio
async def test_a_replica_of_version_0_1_works_beside_this_one(url: str) -> None:
    """It names only the columns that it knows, and starts only where it finds its own version."""
    await make_0_1(url)
    async with opened(url) as claims:
        await proceed(claims, wanted("ours", "t1"))
        [found] = await execute(url, "SELECT version FROM strangler_versions WHERE part = 'claims'")
        assert found.version == 1
        now = time.time()
        given = {"now": now, "later": now + 60, "no": False}
        [theirs] = await execute(url, CLAIM_OF_0_1, id="ours", token="x1", **given)
        assert theirs.token == "t1", "it must find our claim"
        [theirs] = await execute(url, CLAIM_OF_0_1, id="theirs", token="x2", **given)
        assert theirs.token == "x2"
        future = "INSERT INTO incarnations (id, expires_at) VALUES ('old', 9e9) ON CONFLICT (id) DO NOTHING"
        await execute(url, future)
        refused = await claims.claim(wanted("theirs", "t2"))
        assert isinstance(refused, Refuse)
        change = {
            "id": "theirs",
            "token": "x2",
            "state": "completed",
            "head": b"",
            "now": now,
            "later": now + 60,
        }
        await execute(url, CHANGE_OF_0_1, **change)
        assert isinstance(await claims.claim(wanted("theirs", "t3")), Replay)
        assert await claims.change(idem.complete(await proceed(claims, wanted("k")), ANSWER, now))


@pytest.mark.anyio
async def test_claims_of_a_later_version_are_refused_with_a_reason(url: str) -> None:
    async with opened(url) as claims:
        await proceed(claims, wanted("k"))
    await execute(url, "UPDATE strangler_versions SET version = 7 WHERE part = 'claims'")
    async with opened(url) as claims:
        with pytest.raises(StoreUnavailable, match=r"claims in the database have version 7.*a later version"):
            await claims.claim(wanted("k2"))
