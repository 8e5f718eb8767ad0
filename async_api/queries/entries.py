"""An account's ledger entries: pages, newest first, and statements, oldest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from async_api.database import Database, Record
from async_api.models import Transaction
from async_api.money import Money

# Ids of one account's entries grow in commit order, so no page can miss or repeat one.
PAGE = """
    SELECT e.id AS seq, t.id, t.kind, t.payment_id, e.amount, e.balance_after, e.created_at
    FROM entries e JOIN ledger_transactions t ON t.id = e.transaction_id
    WHERE e.account_id = $1 AND e.id < $2 ORDER BY e.id DESC LIMIT $3"""

# A statement is read in pieces, each a query of its own: a slow client does not keep a connection. Entries
# never change, and those after LAST_OF came after the statement was asked for.
LAST_OF = "SELECT coalesce(max(id), 0) FROM entries WHERE account_id = $1"
STATEMENT = """
    SELECT e.created_at, e.id, t.id AS transaction_id, t.kind, t.payment_id, e.amount, e.balance_after
    FROM entries e JOIN ledger_transactions t ON t.id = e.transaction_id
    WHERE e.account_id = $1 AND (e.created_at, e.id) > ($2, $3) AND e.created_at < $4 AND e.id <= $5
    ORDER BY e.created_at, e.id LIMIT $6"""
PIECE = 2_000


def show(row: Record, currency: str) -> Transaction:
    return Transaction.model_construct(
        id=row["id"],
        type=row["kind"],
        payment_id=row["payment_id"],
        amount=Money.of(row["amount"], currency),
        balance_after=Money.of(row["balance_after"], currency),
        created_at=row["created_at"],
    )


async def page(database: Database, account_id: UUID, below: int, limit: int) -> list[Record]:
    return await database.fetch(PAGE, account_id, below, limit)


async def statement(
    database: Database, account_id: UUID, start: datetime, end: datetime
) -> AsyncIterator[list[Record]]:
    """The account's entries from `start` until before `end`, oldest first, in pieces."""
    last = await database.fetchval(LAST_OF, account_id)
    after: tuple[datetime, int] = (start, 0)
    while rows := await database.fetch(STATEMENT, account_id, *after, end, last, PIECE):
        yield rows
        after = (rows[-1]["created_at"], rows[-1]["id"])
