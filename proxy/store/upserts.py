"""An INSERT that may say what happens to a row that is there already: each dialect has its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def inserting(dialect: str) -> Callable[[sa.Table], Insert]:
    """`insert` of the dialect with that name. Only who uses PostgreSQL imports its dialect."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert

        return insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert
