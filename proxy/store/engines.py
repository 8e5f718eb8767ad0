"""Engines for `server.state`: a SQLite file, and one beside it for the claims, or a PostgreSQL database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from proxy.store.places import is_sqlite, state_file

BUSY: Final = 1.0  # seconds that SQLite waits for another process's lock
AGAIN: Final = 0.01  # seconds between two tries where SQLite does not wait by itself
TIMEOUT: Final = 2.0  # seconds that PostgreSQL has for a connection, and for a statement
IDLE: Final = (
    4.0  # seconds that a transaction may wait for its client, who may be stopped and holds its locks
)
CONNECTIONS: Final = 8

Isolation = Literal["READ COMMITTED", "AUTOCOMMIT"]


def sqlite_engine(file: Path) -> sa.Engine:
    """For one thread. Every transaction takes the write lock at its beginning, and is on disk at its end."""
    engine = sa.create_engine(
        f"sqlite:///{file}",
        poolclass=sa.pool.StaticPool,
        connect_args={"timeout": BUSY, "isolation_level": None, "check_same_thread": False},
    )
    _configure(engine)
    return engine


def async_engine(url: str, file: Path | None = None, statement: float = TIMEOUT) -> AsyncEngine:
    """For the event loop. `file` instead of the state's own, with SQLite.

    A connection with the execution option `readonly` takes no write lock there. `statement` is as
    of `postgresql_engine`.
    """
    if is_sqlite(url):
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{file or state_file(url)}",
            poolclass=sa.pool.NullPool,
            connect_args={"timeout": BUSY, "isolation_level": None},
        )
        _configure(engine.sync_engine)
        return engine
    return postgresql_engine(url, statement=statement)


def postgresql_engine(
    url: str, isolation: Isolation = "READ COMMITTED", statement: float = TIMEOUT
) -> AsyncEngine:
    """With AUTOCOMMIT each statement is a transaction of its own, at no cost of its own.

    The server ends a statement after `statement` seconds: one that nobody waits for must not go on there.
    """
    engine = create_async_engine(
        _postgresql_url(url),
        isolation_level=isolation,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=TIMEOUT,
        connect_args={"timeout": TIMEOUT, "command_timeout": max(TIMEOUT, statement)},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        # Not a parameter of the start, which poolers refuse.
        settings = (
            f"SET statement_timeout = {statement * 1000:.0f};"
            f"SET idle_in_transaction_session_timeout = {IDLE * 1000:.0f}"
        )
        connection.run_async(lambda driver: driver.execute(settings))

    return engine


def _postgresql_url(url: str) -> sa.URL:
    """With the driver, which calls libpq's `sslmode` `ssl`."""
    made = sa.make_url(url).set(drivername="postgresql+asyncpg")
    mode = made.query.get("sslmode")
    return (
        made if mode is None else made.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    )


def _configure(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        _switch_to_wal(connection, cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        readonly = connection.get_execution_options().get("readonly", False)
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def _switch_to_wal(connection: Any, cursor: Any) -> None:
    """SQLite does not wait for others here, whatever its timeout: two that open a new file would fail."""
    until = time.monotonic() + BUSY
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        if hasattr(connection, "run_async"):
            connection.run_async(lambda _: asyncio.sleep(AGAIN))
        else:
            time.sleep(AGAIN)
