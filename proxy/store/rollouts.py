"""Where guarded rollouts stand, in the state database: positions, what they rest on, their past, a freeze.

Every write of a position or of the freeze is a compare-and-swap on its `generation`: of two control processes
that decide at the same time one is told that it came too late, and looks again. Unit maps are merged by OR.
The functions run in a transaction of the caller's; `opened` gives a database in which the tables are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.core.rollout.position import RolloutPosition
from proxy.core.traffic.trials import union
from proxy.store.opening import opened_with
from proxy.store.schema import (
    rollout_freeze,
    rollout_history,
    rollout_units,
    rollouts,
)
from proxy.store.upserts import inserting

KEPT: Final = 10_000  # entries of the history
ONLY: Final = "all"  # the one row of the freeze
MAPS: Final = frozenset({"active", "failing", "refused", "slower"})
"""Kinds of units that are bit maps; of any other kind the newer value takes the older one's place."""


class RolloutRow(NamedTuple):
    """One endpoint. `evidence` is JSON of `core`, `about` what the runner keeps beside it.

    `position.generation` is the row's. 0: not stored yet. Evidence None was not read, and stays as it is.
    """

    position: RolloutPosition
    evidence: str | None = None
    about: Mapping[str, Any] = {}

    @property
    def endpoint(self) -> str:
        return self.position.endpoint


class Freeze(NamedTuple):
    """Whether nothing advances anywhere, by whom, why and since when."""

    generation: int = 0
    frozen: bool = False
    reason: str = ""
    author: str = ""
    since: float = 0.0


class Past(NamedTuple):
    """One change of one endpoint; `details` are JSON values."""

    time: float  # Unix seconds
    endpoint: str
    details: Mapping[str, Any]


def opened(url: str) -> AbstractAsyncContextManager[AsyncEngine]:
    """The state database with the rollouts and the audit log. Raises what SQLAlchemy and the driver raise."""
    return opened_with(url, "audit", "rollouts")


# positions


async def rows(connection: AsyncConnection, *, evidence: bool = True) -> dict[str, RolloutRow]:
    """All that are stored, by endpoint. Evidence is large: who follows every second reads it without."""
    columns = [rollouts] if evidence else [each for each in rollouts.c if each.name != "evidence"]
    found = await connection.execute(sa.select(*columns))
    return {row.endpoint: _row(row, evidence) for row in found}


async def evidence(connection: AsyncConnection, endpoint: str) -> str:
    """Of one endpoint; "" if nothing is stored."""
    query = sa.select(rollouts.c.evidence).where(rollouts.c.endpoint == endpoint)
    return await connection.scalar(query) or ""


async def swap(connection: AsyncConnection, row: RolloutRow) -> RolloutRow | None:
    """Puts the row in the place of that with its generation, 0 for none; returns it with its new one.

    None: somebody else was faster, and nothing was changed.
    """
    generation = row.position.generation
    newer = row._replace(position=row.position._replace(generation=generation + 1))
    values = {
        "endpoint": row.endpoint,
        "generation": generation + 1,
        "position": encoded(newer.position),
        "about": as_text(row.about),
    }
    if row.evidence is not None or not generation:
        values["evidence"] = row.evidence or ""
    return newer if await _swapped(connection, rollouts, "endpoint", values, generation) else None


def encoded(position: RolloutPosition) -> str:
    """As JSON with the names of its members."""
    return msgspec.json.encode(position._asdict()).decode()


def decoded(text: str | bytes) -> RolloutPosition:
    """What a later version has added is left out. Raises ValueError or TypeError for what is none."""
    found = msgspec.json.decode(text)
    known = {name: found[name] for name in RolloutPosition._fields if name in found}
    return RolloutPosition(**known)


def as_text(value: Mapping[str, Any]) -> str:
    """JSON, as it is stored."""
    return msgspec.json.encode(dict(value)).decode()


def _row(row: sa.Row[Any], evidence: bool) -> RolloutRow:
    position = decoded(row.position)._replace(endpoint=row.endpoint, generation=row.generation)
    return RolloutRow(position, row.evidence if evidence else None, msgspec.json.decode(row.about))


async def _swapped(
    connection: AsyncConnection, table: sa.Table, key: str, values: dict[str, Any], generation: int
) -> bool:
    if generation == 0:
        insert = inserting(connection.dialect.name)(table)
        result = await connection.execute(insert.values(values).on_conflict_do_nothing())
    else:
        place = (table.c[key] == values[key]) & (table.c.generation == generation)
        result = await connection.execute(table.update().where(place).values(values))
    return result.rowcount == 1


# units


async def merge_units(
    connection: AsyncConnection, endpoint: str, epoch: str, found: Mapping[str, bytes]
) -> None:
    """Brings maps together with those that are stored; a replica that adds to the same one waits."""
    table = rollout_units
    for kind in sorted(found):  # two replicas must not deadlock
        place = (table.c.endpoint == endpoint) & (table.c.epoch == epoch) & (table.c.kind == kind)
        insert = inserting(connection.dialect.name)(table)
        row = {"endpoint": endpoint, "epoch": epoch, "kind": kind, "map": b""}
        await connection.execute(insert.values(row).on_conflict_do_nothing())
        new = found[kind]
        if kind in MAPS:
            known = await connection.scalar(sa.select(table.c.map).where(place).with_for_update())
            new = union(known or b"", new)
            if new == known:
                continue
        await connection.execute(table.update().where(place).values(map=new))


async def units(connection: AsyncConnection, endpoint: str, epoch: str) -> dict[str, bytes]:
    """What is stored of one epoch, by kind."""
    place = (rollout_units.c.endpoint == endpoint) & (rollout_units.c.epoch == epoch)
    query = sa.select(rollout_units.c.kind, rollout_units.c.map).where(place)
    return {kind: bytes(map) for kind, map in await connection.execute(query)}


async def forget_units(connection: AsyncConnection, endpoint: str, but: str) -> None:
    """Removes those of all epochs but one."""
    place = (rollout_units.c.endpoint == endpoint) & (rollout_units.c.epoch != but)
    await connection.execute(rollout_units.delete().where(place))


# history


async def remember(connection: AsyncConnection, changes: Iterable[Past]) -> None:
    """Appends them, and forgets all but the newest KEPT."""
    newest = 0
    for change in changes:
        details = as_text(change.details)
        values = {"time": change.time, "endpoint": change.endpoint, "details": details}
        result = await connection.execute(rollout_history.insert().values(values))
        assert result.inserted_primary_key is not None
        newest = result.inserted_primary_key[0]
    if newest > KEPT:
        await connection.execute(rollout_history.delete().where(rollout_history.c.id <= newest - KEPT))


async def past(connection: AsyncConnection, endpoint: str | None = None, limit: int = 100) -> list[Past]:
    """The newest first, of one endpoint or of all."""
    query = sa.select(rollout_history).order_by(rollout_history.c.id.desc()).limit(limit)
    if endpoint is not None:
        query = query.where(rollout_history.c.endpoint == endpoint)
    found = await connection.execute(query)
    return [Past(row.time, row.endpoint, msgspec.json.decode(row.details)) for row in found]


async def newest(connection: AsyncConnection) -> int:
    """The last entry of the history; another number says that there is something new."""
    return await connection.scalar(sa.select(sa.func.max(rollout_history.c.id))) or 0


async def past_of_each(connection: AsyncConnection, limit: int) -> dict[str, list[Past]]:
    """The last changes of every endpoint, the oldest first: one that changes often crowds out no other."""
    table = rollout_history
    number = sa.func.row_number().over(partition_by=table.c.endpoint, order_by=table.c.id.desc())
    ranked = sa.select(table, number.label("number")).subquery()
    query = sa.select(ranked).where(ranked.c.number <= limit).order_by(ranked.c.id)
    found: dict[str, list[Past]] = {}
    for row in await connection.execute(query):
        past = Past(row.time, row.endpoint, msgspec.json.decode(row.details))
        found.setdefault(row.endpoint, []).append(past)
    return found


# freeze


async def freeze(connection: AsyncConnection) -> Freeze:
    """As it is stored; nothing is frozen where nothing is stored."""
    row = (await connection.execute(sa.select(rollout_freeze))).first()
    return Freeze() if row is None else Freeze(*row[1:])


async def swap_freeze(connection: AsyncConnection, wanted: Freeze) -> Freeze | None:
    """As `swap`."""
    newer = wanted._replace(generation=wanted.generation + 1)
    values = {"name": ONLY, **newer._asdict()}
    swapped = await _swapped(connection, rollout_freeze, "name", values, wanted.generation)
    return newer if swapped else None
