"""The results of comparing live traffic, in the state database (with SQLite in a separate file).

Counts are added to the stored ones, so that several replicas and runs produce one sum. The functions run
in a transaction of the caller; `opened` provides a database in which the tables exist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from proxy.core.comparison.comparisons import Count, PathCount, Sample, Scope, Tally, Traffic
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.core.comparison.units import UnitMap, merged, number_in
from proxy.store.opening import opened_with
from proxy.store.places import comparisons_file, is_sqlite
from proxy.store.schema import comparison_counts as counts
from proxy.store.schema import comparison_marks as marks
from proxy.store.schema import comparison_paths as old_paths
from proxy.store.schema import comparison_sample_paths as sample_paths
from proxy.store.schema import comparison_samples as samples_table
from proxy.store.schema import comparison_scopes as scopes
from proxy.store.schema import comparison_traffic as traffic_table
from proxy.store.schema import comparison_units as units
from proxy.store.upserts import inserting

PER_PATH: Final = 10  # samples kept of one path of a scope, the newest
PER_ENDPOINT: Final = 200
ENDPOINT_BYTES: Final = 8 * 1024 * 1024  # of an endpoint's samples

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Sample]] = msgspec.json.Decoder(Sample)

_EARLIEST: Final = frozenset({"first"})
_LATEST: Final = frozenset({"last"})


class StoredCounts(NamedTuple):
    """What is stored of some or all endpoints: `tallies` with the newest first."""

    tallies: list[Tally]
    traffic: list[Traffic]


def opened(url: str) -> AbstractAsyncContextManager[AsyncEngine]:
    """The database with up-to-date tables. Raises what SQLAlchemy and the driver raise."""
    return opened_with(url, "comparisons", file=comparisons_file(url) if is_sqlite(url) else None)


# writing


async def add(
    connection: AsyncConnection,
    tallies: Iterable[Tally] = (),
    traffic: Iterable[Traffic] = (),
    samples: Sequence[Sample] = (),
) -> None:
    """Adds counts to those that are there, and samples; beyond the limits the oldest samples go."""
    tallies = list(tallies)
    await _add(connection, scopes, 1, [_scope_row(each) for each in tallies])
    await _add(
        connection, marks, 3, [_path_row(each.scope.id, path) for each in tallies for path in each.paths]
    )
    for each in sorted(tallies, key=lambda each: each.scope.id):
        if each.paths:
            await _prove(connection, each.scope.id)
        for found in sorted(each.units):
            await _add_units(connection, each.scope.id, found)
    rows = [{"scope": each.scope.id, **count._asdict()} for each in tallies for count in each.counts]
    await _add(connection, counts, 3, rows)
    await _add(connection, traffic_table, 3, [each._asdict() for each in traffic])
    if samples:
        await connection.execute(samples_table.insert(), [_sample_row(each) for each in samples])
        await connection.execute(
            sample_paths.insert(), [row for each in samples for row in _place_rows(each)]
        )
        for scope, path in sorted({(each.scope.id, path) for each in samples for path in each.paths}):
            await _bound_path(connection, scope, path)
        for endpoint in sorted({each.scope.endpoint for each in samples}):
            await _bound_endpoint(connection, endpoint)


async def forget(connection: AsyncConnection, before: float) -> None:
    """Removes samples, scopes and counts of samples that are older than `before`, Unix seconds."""
    await drop_samples(connection, sa.select(samples_table.c.id).where(samples_table.c.time < before))
    old = sa.select(scopes.c.id).where(scopes.c.last < before)
    for table in (old_paths, marks, units, counts):
        await connection.execute(table.delete().where(table.c.scope.in_(old)))
    await connection.execute(scopes.delete().where(scopes.c.last < before))
    await connection.execute(traffic_table.delete().where(traffic_table.c.last < before))


async def _add(connection: AsyncConnection, table: sa.Table, keys: int, rows: list[dict[str, Any]]) -> None:
    """Rows in the place of those with the same first `keys` columns, their numbers added up."""
    if not rows:
        return
    columns = [column.name for column in table.c]
    rows.sort(key=lambda row: [row[name] for name in columns[:keys]])  # two replicas must not deadlock
    dialect = connection.dialect.name
    insert = inserting(dialect)(table)
    # SQLite calls the greater of two max(), which PostgreSQL has for aggregates only.
    lesser, greater = ("min", "max") if dialect == "sqlite" else ("least", "greatest")
    changed = {}
    for column in table.c:
        old, new = column, insert.excluded[column.name]
        if column.name in _EARLIEST | _LATEST:
            name = lesser if column.name in _EARLIEST else greater
            changed[column.name] = cast(Callable[..., Any], getattr(sa.func, name))(old, new)
        elif isinstance(column.type, sa.BigInteger):
            changed[column.name] = old + new
    await connection.execute(insert.on_conflict_do_update(index_elements=columns[:keys], set_=changed), rows)


async def _prove(connection: AsyncConnection, scope: str) -> None:
    """Notes which places are faults by what all replicas have seen together.

    No replica knows what the others saw, so none may have enough to prove it; and once the sum has, it stays.
    """
    m = await connection.scalar(sa.select(scopes.c.m).where(scopes.c.id == scope))
    places = (
        sa.select(marks).where(marks.c.scope == scope).order_by(marks.c.first, marks.c.path, marks.c.kind)
    )
    for place, row in enumerate(await connection.execute(places), 1):
        seen = Counts(*row[3:14])
        if not seen.proven and seen.is_fault(place, m or 0):
            here = (marks.c.scope == scope) & (marks.c.path == row.path) & (marks.c.kind == row.kind)
            await connection.execute(marks.update().where(here).values(proven=1))


async def _add_units(connection: AsyncConnection, scope: str, found: UnitMap) -> None:
    """Maps are brought together by OR; a replica that adds to the same one waits for the row."""
    place = (units.c.scope == scope) & (units.c.what == found.what)
    insert = inserting(connection.dialect.name)(units)
    row = {"scope": scope, "what": found.what, "number": 0, "map": b""}
    await connection.execute(insert.on_conflict_do_nothing(), row)
    known = await connection.scalar(sa.select(units.c.map).where(place).with_for_update())
    both = merged(known or b"", found.map)
    await connection.execute(units.update().where(place).values(number=number_in(both), map=both))


async def _bound_path(connection: AsyncConnection, scope: str, path: str) -> None:
    place = (sample_paths.c.scope == scope) & (sample_paths.c.path == path)
    query = (
        sa.select(sample_paths.c.sample).where(place).order_by(sample_paths.c.time.desc()).offset(PER_PATH)
    )
    if connection.dialect.name == "sqlite":
        query = query.limit(-1)
    surplus = list(await connection.scalars(query))
    if surplus:
        await connection.execute(sample_paths.delete().where(place & sample_paths.c.sample.in_(surplus)))
        kept = sa.select(sample_paths.c.sample).where(sample_paths.c.sample.in_(surplus))
        unused = samples_table.c.id.in_(surplus) & samples_table.c.id.not_in(kept)
        await connection.execute(samples_table.delete().where(unused))


async def _bound_endpoint(connection: AsyncConnection, endpoint: str) -> None:
    columns = (samples_table.c.id, samples_table.c.size)
    query = sa.select(*columns).where(samples_table.c.endpoint == endpoint)
    size, surplus = 0, []
    newest_first = await connection.execute(query.order_by(samples_table.c.time.desc()))
    for number, (id, bytes_) in enumerate(newest_first):
        size += bytes_
        if number >= PER_ENDPOINT or size > ENDPOINT_BYTES:
            surplus.append(id)
    if surplus:
        await drop_samples(connection, surplus)


async def drop_samples(connection: AsyncConnection, ids: Collection[str] | sa.Select[tuple[str]]) -> None:
    """Removes those with these ids; what was counted stays."""
    await connection.execute(sample_paths.delete().where(sample_paths.c.sample.in_(ids)))
    await connection.execute(samples_table.delete().where(samples_table.c.id.in_(ids)))


def _scope_row(tally: Tally) -> dict[str, Any]:
    scope = tally.scope
    names = {"id": scope.id, "endpoint": scope.endpoint, "legacy": scope.legacy, "async_": scope.async_}
    numbers = {"n": tally.n, "m": tally.m, "first": tally.first, "last": tally.last}
    return {**names, "rules": scope.rules, **numbers}


def _path_row(scope: str, found: PathCount) -> dict[str, Any]:
    times = {"first": found.first, "last": found.last}
    return {"scope": scope, **found.mark._asdict(), **found.counts._asdict(), **times}


def _sample_row(sample: Sample) -> dict[str, Any]:
    document = _encoder.encode(sample)
    place = {"id": sample.id, "scope": sample.scope.id, "endpoint": sample.scope.endpoint}
    return {**place, "time": sample.time, "size": len(document), "document": document}


def _place_rows(sample: Sample) -> list[dict[str, Any]]:
    place = {"sample": sample.id, "scope": sample.scope.id, "time": sample.time}
    return [{**place, "path": path} for path in sample.paths]


# reading


async def found(connection: AsyncConnection, endpoint: str | None = None) -> StoredCounts:
    """All that is counted, of one endpoint or of all."""
    query = sa.select(scopes).order_by(scopes.c.last.desc())
    traffic_query = sa.select(traffic_table)
    if endpoint is not None:
        query = query.where(scopes.c.endpoint == endpoint)
        traffic_query = traffic_query.where(traffic_table.c.endpoint == endpoint)
    rows = list(await connection.execute(query))
    tallies = await _tallies(connection, rows)
    return StoredCounts(tallies, [Traffic(*row) for row in await connection.execute(traffic_query)])


async def tally(connection: AsyncConnection, scope: str) -> Tally | None:
    """All that is counted of the scope with this id; None if there is none."""
    rows = list(await connection.execute(sa.select(scopes).where(scopes.c.id == scope)))
    tallies = await _tallies(connection, rows)
    return tallies[0] if tallies else None


async def samples(
    connection: AsyncConnection, scope: str, path: str | None = None, limit: int = PER_ENDPOINT
) -> list[Sample]:
    """Of the scope with this id, newest first; those that differ on `path`, if that is given."""
    query = sa.select(samples_table.c.document).where(samples_table.c.scope == scope)
    if path is not None:
        place = (sample_paths.c.scope == scope) & (sample_paths.c.path == path)
        query = query.where(samples_table.c.id.in_(sa.select(sample_paths.c.sample).where(place)))
    query = query.order_by(samples_table.c.time.desc()).limit(limit)
    return [_decoder.decode(document) for document in await connection.scalars(query)]


def decode(document: bytes) -> Sample:
    """As it is stored. Raises msgspec.DecodeError."""
    return _decoder.decode(document)


async def sample(connection: AsyncConnection, id: str) -> Sample | None:
    document = await connection.scalar(sa.select(samples_table.c.document).where(samples_table.c.id == id))
    return None if document is None else _decoder.decode(document)


async def _tallies(connection: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> list[Tally]:
    ids = [row.id for row in rows]
    seen: defaultdict[str, list[PathCount]] = defaultdict(list)
    for row in await connection.execute(sa.select(marks).where(marks.c.scope.in_(ids))):
        seen[row.scope].append(PathCount(Mark(*row[1:3]), Counts(*row[3:14]), *row[14:]))
    maps: defaultdict[str, list[UnitMap]] = defaultdict(list)
    numbers = sa.select(units.c.scope, units.c.what, units.c.number).where(units.c.scope.in_(ids))
    for row in await connection.execute(numbers):
        maps[row.scope].append(UnitMap(row.what, row.number))
    counted: defaultdict[str, list[Count]] = defaultdict(list)
    for row in await connection.execute(sa.select(counts).where(counts.c.scope.in_(ids))):
        counted[row.scope].append(Count(row.what, row.label, row.number))
    return [
        Tally(
            Scope(row.endpoint, row.legacy, row.async_, row.rules),
            row.n,
            row.m,
            row.first,
            row.last,
            tuple(seen[row.id]),
            tuple(counted[row.id]),
            tuple(maps[row.id]),
        )
        for row in rows
    ]
