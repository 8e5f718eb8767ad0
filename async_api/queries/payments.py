"""Payments and refunds."""

from __future__ import annotations

from uuid import UUID

from async_api.database import Connection, Database, Record
from async_api.errors import not_found
from async_api.models import Payment, Refund
from async_api.money import Money

COLUMNS = (
    "id, seq, status, source_account_id, destination_account_id, amount, refunded, currency,"
    " description, created_at"
)

FIND = f"SELECT {COLUMNS} FROM payments WHERE id = $1 AND merchant_id = $2"
LOCK = f"{FIND} FOR NO KEY UPDATE"

LIST = f"""
    SELECT {COLUMNS} FROM payments
    WHERE merchant_id = $1 AND seq < $2 AND ($4::text IS NULL OR status = $4)
    ORDER BY seq DESC LIMIT $3"""

# Each side has an index in the right order; an OR over both would sort all of the account's payments.
LIST_OF_ACCOUNT = f"""
    SELECT {COLUMNS} FROM (
        (SELECT * FROM payments WHERE source_account_id = $5 AND merchant_id = $1 AND seq < $2
            AND ($4::text IS NULL OR status = $4) ORDER BY seq DESC LIMIT $3)
        UNION ALL
        (SELECT * FROM payments WHERE destination_account_id = $5 AND merchant_id = $1 AND seq < $2
            AND ($4::text IS NULL OR status = $4) ORDER BY seq DESC LIMIT $3)
    ) AS either ORDER BY seq DESC LIMIT $3"""

INSERT = f"""
    INSERT INTO payments (id, merchant_id, source_account_id, destination_account_id, amount, currency,
                          description, status, refunded)
    VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, 'completed', 0) RETURNING {COLUMNS}"""

EXISTS = "SELECT 1 FROM payments WHERE id = $1"
REFUND_EXISTS = "SELECT 1 FROM refunds WHERE id = $1"

ADD_REFUNDED = """
    UPDATE payments SET refunded = refunded + $2,
        status = CASE WHEN refunded + $2 = amount THEN 'refunded' ELSE 'partially_refunded' END
    WHERE id = $1"""

INSERT_REFUND = """
    INSERT INTO refunds (id, payment_id, amount, reason, status, decline_code)
    VALUES (gen_random_uuid(), $1, $2, $3,
            CASE WHEN $4::text IS NULL THEN 'completed' ELSE 'declined' END, $4)
    RETURNING id, payment_id, amount, reason, status, decline_code, created_at"""


def show(row: Record) -> Payment:
    currency = row["currency"]
    money = {"amount": Money.of(row["amount"], currency), "refunded": Money.of(row["refunded"], currency)}
    return Payment.model_construct(**{**row, **money})


def show_refund(row: Record, currency: str) -> Refund:
    return Refund.model_construct(**{**row, "amount": Money.of(row["amount"], currency)})


async def find(database: Database, payment_id: UUID, merchant_id: UUID) -> Record:
    """Raises Problem (404)."""
    return _found(await database.fetchrow(FIND, payment_id, merchant_id))


async def lock(connection: Connection, payment_id: UUID, merchant_id: UUID) -> Record:
    """Raises Problem (404)."""
    return _found(await connection.fetchrow(LOCK, payment_id, merchant_id))


async def page(
    database: Database, merchant_id: UUID, account_id: UUID | None, status: str | None, below: int, limit: int
) -> list[Record]:
    """The newest `limit` payments with a sequence number under `below`."""
    if account_id is None:
        return await database.fetch(LIST, merchant_id, below, limit, status)
    return await database.fetch(LIST_OF_ACCOUNT, merchant_id, below, limit, status, account_id)


async def insert(
    connection: Connection,
    merchant_id: UUID,
    accounts: tuple[UUID, UUID],
    amount: int,
    currency: str,
    description: str | None,
) -> Record:
    """A completed payment from the first account to the second; the money is moved by `ledger.transfer`."""
    return _found(await connection.fetchrow(INSERT, merchant_id, *accounts, amount, currency, description))


async def insert_refund(
    connection: Connection, payment_id: UUID, amount: int, reason: str | None, decline_code: str | None = None
) -> Record:
    return _found(await connection.fetchrow(INSERT_REFUND, payment_id, amount, reason, decline_code))


async def add_refunded(connection: Connection, payment_id: UUID, amount: int) -> None:
    await connection.execute(ADD_REFUNDED, payment_id, amount)


def _found(row: Record | None) -> Record:
    if row is None:
        raise not_found("payment")
    return row
