"""The statements on claims, the same for SQLite and PostgreSQL. Each function is one step of a transaction.

A first use is one statement: the row is inserted, or, if there is one, locked and left as it is. A change
names the attempt (`token`) and the states that it may start from, so of two that race one finds nothing.

The two that each write needs are compiled once: to build and look up a statement costs more than to run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proxy.core.idempotency import TRANSITIONS, Answer, Proceed, Record, State, Verdict, Wanted, resolve
from proxy.store.places import StoreUnavailable
from proxy.store.schema import claims, incarnations

_CHANGING = ("state", "updated_at", "expires_at", "status", "head", "body", "note", "unsent", "failed")

TRIES = 5  # of a claim that others keep changing
PRUNE = 500  # rows per transaction, so that nobody waits long for it


def claim(connection: sa.Connection, wanted: Wanted) -> Verdict:
    """Raises StoreUnavailable if the row never stays as it was read."""
    fresh = resolve(None, wanted)
    assert isinstance(fresh, Proceed)
    statement, row = _first_use(connection.dialect), to_row(fresh.record)
    for _ in range(TRIES):
        if statement.run(connection, row).scalar_one() == wanted.token:
            return fresh
        found = connection.execute(sa.select(claims).where(claims.c.id == wanted.id)).one_or_none()
        if found is None:
            continue  # it was pruned meanwhile
        record = to_record(found)
        verdict = resolve(record, wanted)
        if not isinstance(verdict, Proceed) or replace(connection, record, verdict.record):
            return verdict
    raise StoreUnavailable("others keep changing this claim")


def replace(connection: sa.Connection, old: Record, new: Record) -> bool:
    """Puts `new` in the place of `old`; False if that is not as it was any more."""
    statement = claims.update().where(
        claims.c.id == old.id, claims.c.token == old.token, claims.c.state == old.state
    )
    return connection.execute(statement.values(to_row(new))).rowcount == 1


def change(connection: sa.Connection, record: Record) -> bool:
    """Makes the row `record`; False if it is not in the hands of this attempt (`record.token`) any more.

    The owner stays, unless the record is to be sent, which only a move asks for. What was doubtful when it
    was claimed does not become `released`, whatever the caller knows.
    """
    return _change(connection.dialect, record.state).run(connection, to_row(record)).rowcount == 1


def prune(connection: sa.Connection, now: float) -> int:
    """Deletes some of what has expired; returns how many. What is sent or unknown stays."""
    over = sa.and_(claims.c.expires_at < now, claims.c.state.in_(("completed", "released")))
    some = sa.select(claims.c.id).where(over).limit(PRUNE)
    # `over` again: PostgreSQL checks it anew on a row that was claimed while the deletion waited for it.
    return connection.execute(claims.delete().where(claims.c.id.in_(some), over)).rowcount


def lose_orphans(connection: sa.Connection, now: float) -> int:
    """What an incarnation that is not registered any more had sent becomes unknown; returns how many."""
    alive = sa.select(incarnations.c.id)
    statement = (
        claims.update()
        .where(claims.c.state == "sent", claims.c.incarnation.not_in(alive))
        .values(state="unknown", updated_at=now, expires_at=claims.c.expires_at + (now - claims.c.updated_at))
    )
    return connection.execute(statement).rowcount


class _Compiled:
    """A statement whose parameters are columns of a claim."""

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._names: list[str] = [name.removeprefix(_BOUND) for name in compiled.positiontup]

    def run(self, connection: sa.Connection, row: Mapping[str, Any]) -> sa.CursorResult[Any]:
        return connection.exec_driver_sql(self._text, tuple([row[name] for name in self._names]))


_BOUND = "given_"  # a parameter of an UPDATE may not be called like its column


def _bound(*names: str) -> dict[str, sa.BindParameter[Any]]:
    return {name: sa.bindparam(_BOUND + name, type_=claims.c[name].type) for name in names}


@lru_cache(maxsize=16)
def _first_use(dialect: sa.Dialect) -> _Compiled:
    insert = (sqlite if dialect.name == "sqlite" else postgresql).insert
    statement = insert(claims).values(_bound(*claims.c.keys()))
    unchanged = {"updated_at": claims.c.updated_at}
    upsert = statement.on_conflict_do_update(index_elements=[claims.c.id], set_=unchanged)
    return _Compiled(upsert.returning(claims.c.token), dialect)


@lru_cache(maxsize=64)
def _change(dialect: sa.Dialect, target: State) -> _Compiled:
    values: dict[str, Any] = dict(_bound(*_CHANGING))
    if target == "sent":
        values |= _bound("owner")
    elif target == "released":
        values["state"] = sa.case((claims.c.doubtful, _literal("unknown")), else_=_literal("released"))
    sources = [_literal(state) for state, targets in TRANSITIONS.items() if target in targets]
    attempt = _bound("id", "token")
    statement = claims.update().where(
        claims.c.id == attempt["id"], claims.c.token == attempt["token"], claims.c.state.in_(sources)
    )
    return _Compiled(statement.values(values), dialect)


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
    }


def to_record(row: sa.Row[*tuple[Any, ...]]) -> Record:
    values = dict(row._mapping)
    status, head, body = values.pop("status"), values.pop("head"), values.pop("body")
    values["failed"] = bool(values["failed"])  # NULL in rows of version 0.1
    return Record(**values, answer=None if status is None else Answer(status, bytes(head), bytes(body)))
