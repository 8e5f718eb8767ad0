"""Moves money: two entries that sum to zero, with both balances, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from legacy_flask.errors import Problem, not_found
from legacy_flask.models import Account, Entry, LedgerTransaction


class Declined(Exception):
    """The money cannot be moved; `code` is the problem's kind."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def lock_accounts(session: Session, merchant_id: UUID, ids: Collection[UUID]) -> list[Account]:
    """The merchant's accounts in the order of `ids`, rows locked. Raises Problem (404) if one is not theirs.

    Always in id order, here and in every other writer: two that lock each other's next row would deadlock.
    """
    query = (
        select(Account)
        .where(Account.id.in_(ids), Account.merchant_id == merchant_id)
        .order_by(Account.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    found = {account.id: account for account in session.scalars(query)}
    if len(found) < len(set(ids)):
        raise not_found("account")
    return [found[account_id] for account_id in ids]


def transfer(
    session: Session, source: Account, destination: Account, amount: int, transaction: LedgerTransaction
) -> None:
    """Move `amount` minor units between two locked accounts. Raises Declined; nothing is changed then."""
    for account in (source, destination):
        if account.status != "active":
            raise Declined("account-frozen", f"Account {account.id} is frozen.")
    if source.balance < amount:
        raise Declined("insufficient-funds", f"Account {source.id} holds less than the amount.")
    source.balance -= amount
    destination.balance += amount
    transaction.entries = [
        Entry(account_id=source.id, amount=-amount, balance_after=source.balance),
        Entry(account_id=destination.id, amount=amount, balance_after=destination.balance),
    ]
    session.add(transaction)
    session.flush()


def refuse(declined: Declined) -> Problem:
    return Problem(declined.code, declined.detail)


def check_currency(account: Account, currency: str) -> None:
    """Raises Problem (422)."""
    if account.currency != currency:
        raise Problem("currency-mismatch", f"Account {account.id} is in {account.currency}, not {currency}.")
