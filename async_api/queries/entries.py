"""An account's ledger entries, newest first."""

from __future__ import annotations

from uuid import UUID

from async_api.database import Database, Record
from async_api.models import Transaction
from async_api.money import Money

# Ids of one account's entries grow in commit order, so no page can miss or repeat one.
PAGE = """
    SELECT e.id AS seq, t.id, t.kind, t.payment_id, e.amount, e.balance_after, e.created_at
    FROM entries e JOIN ledger_transactions t ON t.id = e.transaction_id
    WHERE e.account_id = $1 AND e.id < $2 ORDER BY e.id DESC LIMIT $3"""


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
