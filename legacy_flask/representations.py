"""How rows look as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from legacy_flask.models import Account, Entry, LedgerTransaction, Payment, Refund
from legacy_flask.money import money

Json = dict[str, Any]


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds: `2026-01-31T12:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def account(row: Account) -> Json:
    return {
        "id": str(row.id),
        "kind": row.kind,
        "name": row.name,
        "currency": row.currency,
        "status": row.status,
        "balance": money(row.balance, row.currency),
        "version": row.version,
        "created_at": timestamp(row.created_at),
        "updated_at": timestamp(row.updated_at),
    }


def entry(row: Entry, transaction: LedgerTransaction, currency: str) -> Json:
    return {
        "id": str(transaction.id),
        "type": transaction.kind,
        "payment_id": str(transaction.payment_id) if transaction.payment_id else None,
        "amount": money(row.amount, currency),
        "balance_after": money(row.balance_after, currency),
        "created_at": timestamp(row.created_at),
    }


def payment(row: Payment) -> Json:
    return {
        "id": str(row.id),
        "status": row.status,
        "source_account_id": str(row.source_account_id),
        "destination_account_id": str(row.destination_account_id),
        "amount": money(row.amount, row.currency),
        "refunded": money(row.refunded, row.currency),
        "description": row.description,
        "created_at": timestamp(row.created_at),
    }


def refund(row: Refund, currency: str) -> Json:
    return {
        "id": str(row.id),
        "payment_id": str(row.payment_id),
        "amount": money(row.amount, currency),
        "reason": row.reason,
        "status": row.status,
        "decline_code": row.decline_code,
        "created_at": timestamp(row.created_at),
    }
