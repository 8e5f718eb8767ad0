from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proxy.store.engines import _postgresql_url, async_engine, sqlite_engine


def test_sslmode_is_what_the_driver_calls_ssl() -> None:
    made = _postgresql_url("postgresql://u:p%40ss@db/x?sslmode=require")
    assert (made.drivername, made.password, dict(made.query)) == (
        "postgresql+asyncpg",
        "p@ss",
        {"ssl": "require"},
    )


def test_a_socket_directory_stays_a_host() -> None:
    assert dict(_postgresql_url("postgres://u@/x?host=/run").query) == {"host": "/run"}


def test_those_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite itself does not let them wait while one of them switches the file to WAL."""
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    engine = sqlite_engine(tmp_path / "state.db")

    _do_not_wait(engine)
    threading.Timer(0.1, lambda: holder.execute("COMMIT")).start()

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()
    holder.close()


def _do_not_wait(engine: sa.Engine) -> None:
    """As SQLite does in a race for the switch."""

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: Any, args: Any, given: Any) -> None:
        given["timeout"] = 0.0


async def _mode(file: Path) -> Any:
    engine = async_engine("sqlite:///", file)
    _do_not_wait(engine.sync_engine)
    try:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
    finally:
        await engine.dispose()


def test_so_do_those_on_an_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    refused = threading.Event()
    pause = asyncio.sleep

    async def pausing(seconds: float) -> None:
        if not refused.is_set():
            refused.set()
            holder.execute("COMMIT")
        await pause(seconds)

    monkeypatch.setattr("proxy.store.engines.asyncio.sleep", pausing)
    assert asyncio.run(_mode(tmp_path / "state.db")) == "wal"
    assert refused.is_set()
    holder.close()
