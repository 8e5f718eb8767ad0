"""Which control process runs the rollouts: one row, held for a few seconds at a time by the database's clock.

No advisory lock of a session, which a pooler in transaction mode would give to somebody else. What the holder
writes is written only if `holds` says so in the same transaction. A row that was written by a clock that has
been set back since would be held for long; so who has seen it unchanged for LEASE seconds of a clock that
nobody sets takes it over all the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store.now import database_now
from proxy.store.schema import rollout_lease as table
from proxy.store.upserts import inserting

LEASE: Final = 8.0  # seconds
RENEW: Final = 2.0  # seconds between two renewals
LEADER: Final = "leader"


class Held(NamedTuple):
    """Who has it, and how often it was renewed."""

    holder: str = ""
    beat: int = 0


async def take(connection: AsyncConnection, holder: str, stale: Held | None = None) -> Held:
    """Takes or renews the lease if that is possible; returns who has it then.

    `stale` is what the caller has seen unchanged for too long.
    """
    insert = inserting(connection.dialect.name)(table)
    row = {"name": LEADER, "holder": "", "beat": 0, "expires_at": 0.0}
    await connection.execute(insert.values(row).on_conflict_do_nothing())
    free = (table.c.holder == holder) | (table.c.expires_at <= database_now())
    if stale is not None:
        free |= (table.c.holder == stale.holder) & (table.c.beat == stale.beat)
    changed = {"holder": holder, "beat": table.c.beat + 1, "expires_at": database_now() + LEASE}
    await connection.execute(table.update().where((table.c.name == LEADER) & free).values(changed))
    return await held(connection)


async def held(connection: AsyncConnection) -> Held:
    """Who had it last, whether or not it has expired."""
    row = (await connection.execute(sa.select(table.c.holder, table.c.beat))).first()
    return Held() if row is None else Held(*row)


async def holds(connection: AsyncConnection, holder: str) -> bool:
    """Whether it is `holder`'s now; nobody takes it before this transaction ends."""
    mine = (table.c.name == LEADER) & (table.c.holder == holder) & (table.c.expires_at > database_now())
    found = await connection.scalar(sa.select(table.c.name).where(mine).with_for_update())
    return found is not None


async def release(connection: AsyncConnection, holder: str) -> None:
    """The next one need not wait."""
    mine = (table.c.name == LEADER) & (table.c.holder == holder)
    await connection.execute(table.update().where(mine).values(expires_at=0.0))
