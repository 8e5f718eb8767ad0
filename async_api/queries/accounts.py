"""Accounts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from async_api.database import Connection, Database, Record
from async_api.errors import not_found
from async_api.models import Account
from async_api.money import Money

COLUMNS = "id, kind, name, currency, status, balance, version, created_at, updated_at"

FIND = f"SELECT {COLUMNS} FROM accounts WHERE id = $1 AND merchant_id = $2"

# Always in id order, here and in every other writer: two that lock each other's next row would deadlock.
LOCK = f"""
    SELECT {COLUMNS} FROM accounts WHERE id = ANY($1::uuid[]) AND merchant_id = $2
    ORDER BY id FOR NO KEY UPDATE"""

OPEN = f"""
    INSERT INTO accounts (id, merchant_id, kind, name, currency, status, balance, version)
    VALUES (gen_random_uuid(), $1, 'customer', $2, $3, 'active', 0, 1) RETURNING {COLUMNS}"""

REPLACE = f"""
    UPDATE accounts SET name = $3, status = $4, version = version + 1, updated_at = clock_timestamp()
    WHERE id = $1 AND merchant_id = $2 RETURNING {COLUMNS}"""

REPLACED = "SELECT 1 FROM accounts WHERE id = $1 AND version >= $2"

SETTLEMENT = "SELECT id FROM accounts WHERE merchant_id = $1 AND kind = 'settlement' AND currency = $2"


def proof(row: Record) -> tuple[str, UUID, int]:
    """Query that finds a row only if the account was opened, or replaced, as the row says."""
    return REPLACED, row["id"], row["version"]


def show(row: Record) -> Account:
    return Account.model_construct(
        **{**row, "balance": Money.of(row["balance"], row["currency"])},
    )


async def find(database: Database, account_id: UUID, merchant_id: UUID) -> Record:
    """Raises Problem (404)."""
    return _found(await database.fetchrow(FIND, account_id, merchant_id))


async def lock(connection: Connection, ids: Sequence[UUID], merchant_id: UUID) -> list[Record]:
    """The merchant's accounts in the order of `ids`, rows locked. Raises Problem (404) if one is missing."""
    rows = {row["id"]: row for row in await connection.fetch(LOCK, ids, merchant_id)}
    if len(rows) < len(set(ids)):
        raise not_found("account")
    return [rows[account_id] for account_id in ids]


async def insert(connection: Connection, merchant_id: UUID, name: str, currency: str) -> Record:
    return _found(await connection.fetchrow(OPEN, merchant_id, name, currency))


async def replace(
    connection: Connection, account_id: UUID, merchant_id: UUID, name: str, status: str
) -> Record:
    """Raises Problem (404)."""
    return _found(await connection.fetchrow(REPLACE, account_id, merchant_id, name, status))


async def settlement(connection: Connection, merchant_id: UUID, currency: str) -> UUID | None:
    found: UUID | None = await connection.fetchval(SETTLEMENT, merchant_id, currency)
    return found


def _found(row: Record | None) -> Record:
    if row is None:
        raise not_found("account")
    return row
