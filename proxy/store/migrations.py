"""Updates a part of a database to the current version, and refuses one that a later program has changed
beyond it.

Each part is migrated separately: with SQLite the claims have their own file, with PostgreSQL all parts
share one database. `strangler_versions` has two numbers for each part. Under the part's name is the number
of its steps that exclude older programs, which is all that version 0.1 reads. Under the name with a plus
sign is the number of all steps taken. If the second is missing, the first stands for both.
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
