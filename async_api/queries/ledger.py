"""Moves money: two entries that sum to zero, with both balances, in the caller's transaction."""

from __future__ import annotations

from uuid import UUID

from async_api.database import Connection, Record
from async_api.errors import Problem

# One statement, one round trip. Both rows are locked, so the balances returned are the ones after this.
TRANSFER = """
    WITH moved AS (
        UPDATE accounts SET balance = balance + CASE id WHEN $2 THEN -$4::bigint ELSE $4::bigint END
        WHERE id IN ($2, $3) RETURNING id, balance
    ), kept AS (
        INSERT INTO ledger_transactions (id, kind, payment_id, refund_id)
        VALUES (gen_random_uuid(), $1, $5, $6) RETURNING id
    )
    INSERT INTO entries (transaction_id, account_id, amount, balance_after)
    SELECT kept.id, moved.id, CASE moved.id WHEN $2 THEN -$4::bigint ELSE $4::bigint END, moved.balance
    FROM kept, moved"""


class Declined(Exception):
    """The money cannot be moved; `code` is the problem's kind."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def problem(self) -> Problem:
        return Problem(self.code, self.detail)


async def transfer(
    connection: Connection,
    kind: str,
    source: Record,
    destination: Record,
    amount: int,
    payment_id: UUID | None = None,
    refund_id: UUID | None = None,
) -> None:
    """Move `amount` minor units between two locked accounts. Raises Declined; nothing is changed then."""
    for account in (source, destination):
        if account["status"] != "active":
            raise Declined("account-frozen", f"Account {account['id']} is frozen.")
    if source["balance"] < amount:
        raise Declined("insufficient-funds", f"Account {source['id']} holds less than the amount.")
    await connection.execute(TRANSFER, kind, source["id"], destination["id"], amount, payment_id, refund_id)


def check_currency(account: Record, currency: str) -> None:
    """Raises Problem (422)."""
    if account["currency"] != currency:
        detail = f"Account {account['id']} is in {account['currency']}, not {currency}."
        raise Problem("currency-mismatch", detail)
