"""Monthly statements as CSV, streamed in pieces: memory stays flat at any length."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from async_api.database import Database, Record
from async_api.models import timestamp
from async_api.money import to_text
from async_api.queries import entries

HEADER = "created_at,transaction_id,type,payment_id,amount,currency,balance_after\r\n"


async def lines(database: Database, account_id: UUID, currency: str, month: str) -> AsyncIterator[str]:
    """CSV (RFC 4180) of a month `YYYY-MM` in UTC, oldest first, many lines at a time."""
    start = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    end = (start + timedelta(days=31)).replace(day=1)
    yield HEADER
    async for rows in entries.statement(database, account_id, start, end):
        yield "".join(_line(row, currency) for row in rows)


def _line(row: Record, currency: str) -> str:
    return (
        f"{timestamp(row['created_at'])},{row['transaction_id']},{row['kind']},{row['payment_id'] or ''},"
        f"{to_text(row['amount'], currency)},{currency},{to_text(row['balance_after'], currency)}\r\n"
    )
