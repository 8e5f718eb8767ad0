"""Who changed what, when and why. Entries are appended and never changed.

The functions run in a transaction of the caller's; `opened` gives a database in which the table exists.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.store.opening import opened_with
from proxy.store.schema import audit


class AuditEntry(NamedTuple):
    id: int
    time: float  # Unix seconds
    author: str
    action: str  # such as "settle"
    details: Mapping[str, Any]  # JSON values


def opened(url: str) -> AbstractAsyncContextManager[AsyncEngine]:
    """The state database with an up-to-date audit table. Raises what SQLAlchemy and the driver raise."""
    return opened_with(url, "audit")


async def append(
    connection: AsyncConnection, time: float, author: str, action: str, details: Mapping[str, Any]
) -> None:
    values = {"time": time, "author": author, "action": action, "details": dict(details)}
    await connection.execute(audit.insert().values(values))


async def entries(
    connection: AsyncConnection, limit: int = 100, action: str | None = None
) -> list[AuditEntry]:
    """The newest `limit` entries, newest first."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if action is not None:
        query = query.where(audit.c.action == action)
    return [AuditEntry(*row) for row in await connection.execute(query)]


def author() -> str:
    """Who runs this process: $STRANGLER_AUTHOR, else the user's name."""
    given = os.environ.get("STRANGLER_AUTHOR") or os.environ.get("USER")
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return f"uid {os.getuid()}"
