"""The accepted configurations, newest last, so that any of the newest KEPT can be restored.

A text is stored exactly as it was in the file and may contain secrets: it never leaves through the admin
port.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.store.opening import opened_with
from proxy.store.schema import configs

KEPT: Final = 200


class AcceptedConfig(NamedTuple):
    """One accepted configuration. `difference` are lines such as "GET /a: weight 25 -> 50"."""

    id: int
    time: float  # Unix seconds
    hash: str
    author: str
    trigger: str
    difference: Sequence[str]
    text: str


def opened(url: str) -> AbstractAsyncContextManager[AsyncEngine]:
    """The state database with audit log and configurations. Raises what SQLAlchemy and the driver raise."""
    return opened_with(url, "audit", "configs")


async def append(connection: AsyncConnection, accepted: AcceptedConfig) -> None:
    """Adds one (its `id` is not used) and forgets all but the newest KEPT."""
    values = accepted._asdict()
    del values["id"]
    result = await connection.execute(
        configs.insert().values({**values, "difference": list(accepted.difference)})
    )
    newest = result.inserted_primary_key
    assert newest is not None
    await connection.execute(configs.delete().where(configs.c.id <= newest[0] - KEPT))


async def newest(connection: AsyncConnection, limit: int = KEPT) -> list[AcceptedConfig]:
    """The newest `limit`, newest first."""
    query = sa.select(configs).order_by(configs.c.id.desc()).limit(limit)
    return [AcceptedConfig(*row) for row in await connection.execute(query)]
