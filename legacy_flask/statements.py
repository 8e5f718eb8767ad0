"""Monthly statements as CSV, streamed through a server-side cursor: memory stays flat at any length."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, Row, select

from legacy_flask.models import Entry, LedgerTransaction
from legacy_flask.money import format_amount
from legacy_flask.representations import timestamp

HEADER = "created_at,transaction_id,type,payment_id,amount,currency,balance_after\r\n"
BATCH = 1_000


def lines(engine: Engine, account_id: UUID, currency: str, start: datetime, end: datetime) -> Iterator[str]:
    """CSV (RFC 4180) of the entries from `start` until before `end`, oldest first, many lines at a time.

    Holds a connection until it is read to its end or closed, which is when the client goes away.
    """
    query = (
        select(
            Entry.created_at,
            Entry.transaction_id,
            LedgerTransaction.kind,
            LedgerTransaction.payment_id,
            Entry.amount,
            Entry.balance_after,
        )
        .join(Entry.transaction)
        .where(Entry.account_id == account_id, Entry.created_at >= start, Entry.created_at < end)
        .order_by(Entry.created_at, Entry.id)
    )
    yield HEADER
    with engine.connect().execution_options(yield_per=BATCH) as connection:
        for batch in connection.execute(query).partitions():
            yield "".join(_line(row, currency) for row in batch)


def _line(row: Row[datetime, UUID, str, UUID | None, int, int], currency: str) -> str:
    moment, transaction_id, kind, payment_id, amount, balance = row
    return (
        f"{timestamp(moment)},{transaction_id},{kind},{payment_id or ''},"
        f"{format_amount(amount, currency)},{currency},{format_amount(balance, currency)}\r\n"
    )
