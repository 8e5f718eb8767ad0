from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.store import schema
from proxy.store.engines import sqlite_engine
from proxy.store.schema import TooNew, migrate, versions


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sqlite_engine(tmp_path / "x.db")
    yield engine
    engine.dispose()


def version(engine: sa.Engine, part: str) -> int | None:
    with engine.begin() as connection:
        return connection.scalar(sa.select(versions.c.version).where(versions.c.part == part))


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
    taken: list[int] = []
    first = schema.PARTS["audit"][0]
    monkeypatch.setitem(schema.PARTS, "audit", [first, lambda _: taken.append(2), lambda _: taken.append(3)])
    with engine.begin() as connection:
        migrate(connection, "audit")
    assert (taken, version(engine, "audit")) == ([2, 3], 3)


def test_a_database_of_a_later_version_is_left_alone(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        migrate(connection, "audit")
        connection.execute(versions.update().values(version=9))
    with engine.begin() as connection, pytest.raises(TooNew, match="version 9"):
        migrate(connection, "audit")


def test_what_is_committed_is_on_disk(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
