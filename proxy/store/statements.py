"""The statements on claims, the same for SQLite and PostgreSQL. Each function is one step of a transaction.

A first use is one statement: the row is inserted or, if there is one, locked and left unchanged. A change
names the attempt (`token`) and the states from which it may start, so of two that race one finds nothing.
All times are the database's (`now`); those of a record that a worker holds are ignored.

The two statements that each write needs are compiled once, because building and looking up a statement
costs more than running it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

import sqlalchemy as sa

from proxy.core.resilience.idempotency import (
    TRANSITIONS,
    ClaimRequest,
    Proceed,
    Record,
    Replay,
    State,
    StoredAnswer,
    Verdict,
    expired,
    marker,
    resolve,
)
from proxy.store.claims import PAGE, Sent
from proxy.store.now import database_now
from proxy.store.places import StoreUnavailable
from proxy.store.schema import claims, claims_stored, incarnations
from proxy.store.upserts import inserting

_CHANGING = ("state", "status", "head", "body", "note", "size")
_AGE = database_now() - claims.c.updated_at
_TOUCHED = {"updated_at": database_now(), "expires_at": claims.c.expires_at + _AGE}  # the TTL stays

TRIES = 5  # of a claim that others keep changing
PRUNE = 500  # rows per transaction, so that nobody waits long for it
SHARDS = 16  # rows of claims_stored


def claim(connection: sa.Connection, wanted: ClaimRequest) -> Verdict:
    """Raises StoreUnavailable if the row never stays as it was read."""
    if wanted.former_id and (known := _known_to_0_1(connection, wanted)) is not None:
        return known
    fresh = resolve(None, wanted)
    assert isinstance(fresh, Proceed)
    statement, row = _first_use(connection.dialect), {**to_row(fresh.record), "ttl": wanted.ttl}
    for _ in range(TRIES):
        if statement.run(connection, row).scalar_one() == wanted.token:
            return fresh
        found = find(connection, wanted.id)
        if found is None:
            continue  # it was pruned meanwhile
        record, now = found
        verdict = resolve(record, dataclasses.replace(wanted, now=now))
        changed = None if isinstance(verdict, Replay) else verdict.record
        if changed is None or replace(connection, record, changed):
            return verdict
    raise StoreUnavailable("other workers keep changing this claim")


def find(connection: sa.Connection, id: str) -> tuple[Record, float] | None:
    """The row, and what the database's clock showed when it was read."""
    row = connection.execute(sa.select(claims, database_now().label("now")).where(claims.c.id == id)).first()
    return None if row is None else (to_record(row), row.now)


def _known_to_0_1(connection: sa.Connection, wanted: ClaimRequest) -> Verdict | None:
    """What version 0.1 has under its own id for the key: that goes on there.

    None: nothing; and as a marker stands there from now on, a worker of version 0.1 will not send it either.
    """
    mark = marker(wanted)
    statement, row = _first_use(connection.dialect), {**to_row(mark), "ttl": wanted.ttl}
    for _ in range(TRIES):
        if statement.run(connection, row).scalar_one() == mark.token:
            return None
        found = find(connection, mark.id)
        if found is None:
            continue  # it was pruned meanwhile
        record, now = found
        wanted = dataclasses.replace(wanted, now=now)
        if record.note == mark.note or expired(record, min(now, wanted.not_after)):
            if replace(connection, record, marker(wanted)):  # for another TTL
                return None
            continue
        verdict = resolve(record, wanted)
        changed = None if isinstance(verdict, Replay) else verdict.record
        if changed is None or replace(connection, record, changed):
            return verdict
    raise StoreUnavailable("other workers keep changing this claim")


def replace(connection: sa.Connection, old: Record, new: Record) -> bool:
    """Puts `new` in the place of `old`; False if that is not as it was any more."""
    statement = claims.update().where(
        claims.c.id == old.id, claims.c.token == old.token, claims.c.state == old.state
    )
    replaced = connection.execute(statement.values(to_row(new))).rowcount == 1
    if replaced and old.size:
        _take_off(connection, old.size)
    return replaced


def change(connection: sa.Connection, record: Record) -> bool:
    """Makes the row `record`; False if it is not in the hands of this attempt (`record.token`) any more.

    The owner stays, unless the record is to be sent, which only a move asks for. What earlier attempts left
    open stays so, whatever the caller knows of them: a doubtful key does not become `released`.
    """
    statement, row = _change(connection.dialect, record.state), to_row(record)
    if record.answer is None:
        return statement.run(connection, row).rowcount == 1
    row["shard"] = crc32(record.incarnation.encode()) % SHARDS
    if connection.dialect.name != "sqlite":  # in one statement, which is a transaction there
        return bool(_change_counted(connection.dialect).run(connection, row).scalar_one())
    changed = statement.run(connection, row).rowcount == 1
    if changed:
        _count(connection.dialect).run(connection, row)
    return changed


def stored(connection: sa.Connection) -> int:
    """Bytes of the answers in the store."""
    total = connection.execute(sa.select(sa.func.sum(claims_stored.c.bytes))).scalar_one()
    return max(0, int(total or 0))


def empty(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Takes the stored answers from these keys, which stay known."""
    answered = sa.and_(claims.c.id.in_(ids), claims.c.state == "completed", claims.c.status.is_not(None))
    query = sa.select(claims.c.id, claims.c.size).where(answered).with_for_update()
    found = connection.execute(query).all()
    values = {"status": None, "head": None, "body": None, "note": "erased", "size": None}
    connection.execute(claims.update().where(claims.c.id.in_([row.id for row in found])).values(values))
    if freed := sum(row.size or 0 for row in found):
        _take_off(connection, freed)


def _take_off(connection: sa.Connection, size: int) -> None:
    first = claims_stored.update().where(claims_stored.c.shard == 0)
    connection.execute(first.values(bytes=claims_stored.c.bytes - size))


def change_all(connection: sa.Connection, records: Sequence[Record]) -> list[bool]:
    """As `change` of each; they are all to be in one state. With PostgreSQL those without an answer are one
    statement, as each statement there is a commit; with SQLite they are in one transaction anyway."""
    plain = [record for record in records if record.answer is None and record.state != "sent"]
    if connection.dialect.name == "sqlite" or len(plain) < len(records):
        return [change(connection, record) for record in records]
    columns = [[getattr(record, name) for record in records] for name in _GIVEN]
    text = _change_all(connection.dialect, records[0].state)
    changed = set(map(tuple, connection.exec_driver_sql(text, tuple(columns))))
    return [(record.id, record.token) in changed for record in records]


def confirm(connection: sa.Connection, record: Record) -> bool:
    """Whether this attempt still holds the claim, by a change to it: others wait for that, or have been."""
    held = sa.and_(claims.c.id == record.id, claims.c.token == record.token, claims.c.state == "sent")
    return connection.execute(claims.update().where(held).values(_TOUCHED)).rowcount == 1


def prune(connection: sa.Connection, not_after: float) -> int:
    """Deletes some of what has expired; returns how many. What is sent or unknown stays."""
    passing = sa.or_(claims.c.state.in_(("completed", "released")), claims.c.note == "marker")
    over = sa.and_(claims.c.expires_at < database_now(), claims.c.expires_at < not_after, passing)
    some = sa.select(claims.c.id).where(over).limit(PRUNE)
    # `over` again: PostgreSQL checks it anew on a row that was claimed while the deletion waited for it.
    deletion = claims.delete().where(claims.c.id.in_(some), over).returning(claims.c.size)
    sizes = connection.execute(deletion).scalars().all()
    freed = sum(size for size in sizes if size)
    if freed:
        _take_off(connection, freed)
    return len(sizes)


def lose_orphans(connection: sa.Connection) -> int:
    """What an incarnation that is not registered any more had sent becomes unknown; returns how many."""
    alive = sa.select(incarnations.c.id)
    orphaned = sa.and_(claims.c.state == "sent", claims.c.incarnation.not_in(alive))
    return connection.execute(claims.update().where(orphaned).values(_LOST)).rowcount


def sent_by(connection: sa.Connection, incarnation: str, age: float, after: float) -> list[Sent]:
    """What `incarnation` has under way for `age` seconds or more: at most PAGE, changed after `after`."""
    changed = claims.c.updated_at
    query = sa.select(claims.c.token, changed).where(
        claims.c.state == "sent",
        changed < database_now() - age,
        changed > after,
        claims.c.incarnation == incarnation,
    )
    return [Sent(*row) for row in connection.execute(query.order_by(changed).limit(PAGE))]


def lose(connection: sa.Connection, incarnation: str, tokens: Sequence[str]) -> int:
    """What these attempts of `incarnation` had sent becomes unknown; returns how many."""
    theirs = sa.and_(
        claims.c.state == "sent", claims.c.incarnation == incarnation, claims.c.token.in_(tokens)
    )
    return connection.execute(claims.update().where(theirs).values(_LOST)).rowcount


class _Compiled:
    """A statement whose parameters are columns of a claim."""

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._names: list[str] = [name.removeprefix(_BOUND) for name in compiled.positiontup]

    def run(self, connection: sa.Connection, row: Mapping[str, Any]) -> sa.CursorResult[Any]:
        return connection.exec_driver_sql(self._text, tuple([row[name] for name in self._names]))


_LOST = {**_TOUCHED, "state": "unknown"}
_BOUND = "given_"  # a parameter of an UPDATE may not be called like its column


def _bound(*names: str) -> dict[str, Any]:
    return {name: sa.bindparam(_BOUND + name, type_=claims.c[name].type) for name in names}


@lru_cache(maxsize=16)
def _first_use(dialect: sa.Dialect) -> _Compiled:
    insert = inserting(dialect.name)
    times = ("created_at", "updated_at", "expires_at")
    values: dict[str, Any] = _bound(*(name for name in claims.c.keys() if name not in times))  # noqa: SIM118
    ttl = sa.bindparam(_BOUND + "ttl", type_=sa.Double)
    values |= {"created_at": database_now(), "updated_at": database_now(), "expires_at": database_now() + ttl}
    statement = insert(claims).values(values)
    unchanged = {"updated_at": claims.c.updated_at}
    upsert = statement.on_conflict_do_update(index_elements=[claims.c.id], set_=unchanged)
    return _Compiled(upsert.returning(claims.c.token), dialect)


@lru_cache(maxsize=64)
def _change(dialect: sa.Dialect, target: State) -> _Compiled:
    return _Compiled(_changing(target), dialect)


def _changing(target: State) -> sa.Update:
    given = _bound("id", "token", "unsent", "failed", *_CHANGING)
    owner = _bound("owner") if target == "sent" else {}
    values = {name: given[name] for name in _CHANGING} | owner
    return _changed(target, given, values)


_GIVEN: Final = ("id", "token", "unsent", "failed", "note")


@lru_cache(maxsize=16)
def _change_all(dialect: sa.Dialect, target: State) -> str:
    """Its parameters are arrays, in the order of _GIVEN."""
    types = ["boolean" if name == "failed" else "text" for name in _GIVEN]
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, 1))
    given = sa.table("given", *(sa.column(name, claims.c[name].type) for name in _GIVEN))
    answer: dict[str, Any] = dict.fromkeys(("status", "head", "body"), sa.null())
    values = answer | {"state": _literal(target), "note": given.c.note}
    statement = _changed(target, {name: given.c[name] for name in _GIVEN}, values).returning(
        claims.c.id, claims.c.token
    )
    text = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return f"WITH given ({', '.join(_GIVEN)}) AS (SELECT * FROM unnest({arrays})) {text}"


def _changed(target: State, given: Mapping[str, Any], values: Mapping[str, Any]) -> sa.Update:
    """The change to `target` of the attempt that `given` names, if it may be made."""
    still = sa.and_(given["unsent"].is_not(None), claims.c.unsent == claims.c.token)
    more: dict[str, Any] = {
        **_TOUCHED,
        "unsent": sa.case((still, claims.c.unsent), else_=sa.null()),
        "failed": sa.or_(sa.func.coalesce(claims.c.failed, sa.false()), given["failed"]),
    }
    if target == "released":
        more["state"] = sa.case((claims.c.doubtful, _literal("unknown")), else_=_literal("released"))
    sources = [_literal(state) for state, targets in TRANSITIONS.items() if target in targets]
    held = sa.and_(claims.c.id == given["id"], claims.c.token == given["token"], claims.c.state.in_(sources))
    return claims.update().where(held).values({**values, **more})


@lru_cache(maxsize=16)
def _change_counted(dialect: sa.Dialect) -> _Compiled:
    """How many rows it changed."""
    changed = _changing("completed").returning(claims.c.id).cte("changed")
    counted = _counting().where(sa.exists(sa.select(changed.c.id))).cte("counted")
    return _Compiled(sa.select(sa.func.count()).select_from(changed).add_cte(counted), dialect)


@lru_cache(maxsize=16)
def _count(dialect: sa.Dialect) -> _Compiled:
    return _Compiled(_counting(), dialect)


def _counting() -> sa.Update:
    """Adds what is stored with a completed claim."""
    shard = sa.bindparam(_BOUND + "shard", type_=sa.Integer)
    size = sa.bindparam(_BOUND + "size", type_=sa.BigInteger)
    counter = claims_stored.update().where(claims_stored.c.shard == shard)
    return counter.values(bytes=claims_stored.c.bytes + size)


def _literal(state: State) -> sa.ColumnClause[str]:
    return sa.literal_column(f"'{state}'", sa.Text)


def to_row(record: Record) -> dict[str, Any]:
    answer = record.answer
    return {
        "id": record.id,
        "principal": record.principal,
        "endpoint": record.endpoint,
        "key": record.key,
        "fingerprint": record.fingerprint,
        "owner": record.owner,
        "state": record.state,
        "incarnation": record.incarnation,
        "token": record.token,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "expires_at": record.expires_at,
        "status": answer.status if answer else None,
        "head": answer.head if answer else None,
        "body": answer.body if answer else None,
        "note": record.note,
        "doubtful": record.doubtful,
        "fingerprint_version": record.fingerprint_version,
        "unsent": record.unsent,
        "failed": record.failed,
        "size": answer.size if answer else None,
    }


def to_record(row: sa.Row[*tuple[Any, ...]]) -> Record:
    values = dict(row._mapping)
    values.pop("now", None)
    status, head, body = values.pop("status"), values.pop("head"), values.pop("body")
    values["failed"] = bool(values["failed"])  # NULL in rows of version 0.1
    return Record(**values, answer=None if status is None else StoredAnswer(status, bytes(head), bytes(body)))
