"""Brings a part of a database up to date, and refuses one that a later program has changed beyond this one.

A part is migrated by itself: with SQLite the claims have a file of their own, with PostgreSQL all parts share
one database. `strangler_versions` has two numbers for each: under the part's name how many of its steps shut
older programs out, which is all that version 0.1 looks at; under the name with a plus sign how many steps
were taken in all. Without the second the first stands for both.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from proxy.store import steps
from proxy.store.schema import versions

_LOCK: Final = 0x5354524E  # of pg_advisory_xact_lock: two processes must not migrate at once


class TooNew(Exception):
    """The database was written by a later version of the program."""


def migrate(connection: sa.Connection, part: str) -> None:
    """Brings one part up to date, in the transaction that `connection` is in. Raises TooNew."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    if not sa.inspect(connection).has_table(versions.name):  # a role may do without CREATE afterwards
        _take(connection, steps.VERSIONS)
    known = steps.PARTS[part]
    version = sum(not step.compatible for step in known)
    found = _read(connection, part)
    if found is not None and found > version:
        raise TooNew(
            f"the {part} in the database have version {found}, and this program supports {version}: a"
            " later version has changed them; run that version, or restore an earlier backup of the database"
        )
    counted = _read(connection, part + "+")
    taken = counted or found or 0
    for step in known[taken:]:
        _take(connection, step)
    _write(connection, part, found, version)
    _write(connection, part + "+", counted, max(taken, len(known)))


def _take(connection: sa.Connection, step: steps.Step) -> None:
    for statement in step.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)


def _read(connection: sa.Connection, name: str) -> int | None:
    return connection.scalar(sa.select(versions.c.version).where(versions.c.part == name))


def _write(connection: sa.Connection, name: str, found: int | None, number: int) -> None:
    if found is None:
        connection.execute(versions.insert().values(part=name, version=number))
    elif found != number:
        connection.execute(versions.update().where(versions.c.part == name).values(version=number))
