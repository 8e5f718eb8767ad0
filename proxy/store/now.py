"""The database's clock, as a part of statements."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_now(FunctionElement[float]):
    """Unix seconds by the database's clock, the same throughout a statement."""

    type = sa.Double()
    inherit_cache = True


@compiles(database_now)
def _anywhere(element: database_now, compiler: Any, **given: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"


@compiles(database_now, "sqlite")
def _in_sqlite(element: database_now, compiler: Any, **given: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def read(connection: sa.Connection) -> float:
    return connection.execute(sa.select(database_now())).scalar_one()
