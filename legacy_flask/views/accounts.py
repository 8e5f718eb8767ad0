"""Accounts: open, read, change, their ledger entries page by page, and monthly statements."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from legacy_flask import cursors, ledger, parsing, statements
from legacy_flask import representations as show
from legacy_flask.auth import authenticate, merchant
from legacy_flask.db import session
from legacy_flask.errors import Problem, not_found
from legacy_flask.models import Account, Entry, LedgerTransaction
from legacy_flask.money import DECIMALS

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")
blueprint.before_request(authenticate)
blueprint.before_request(parsing.refuse_repeated)

MAX_NAME = 100


def find(account_id: str) -> Account:
    """The merchant's account of this id. Raises Problem (404)."""
    key = parsing.path_id(account_id, "account")
    found = session().scalar(select(Account).where(Account.id == key, Account.merchant_id == merchant()))
    if found is None:
        raise not_found("account")
    return found


@blueprint.get("/<account_id>")
def get_account(account_id: str) -> ResponseReturnValue:
    return jsonify(show.account(find(account_id)))


@blueprint.get("/<account_id>/transactions")
def list_transactions(account_id: str) -> ResponseReturnValue:
    """Newest first. Ids of one account's entries grow in commit order, so no page can miss or repeat one."""
    fields = parsing.query({"limit", "cursor"})
    limit, scope = fields.limit(), f"transactions {parsing.path_id(account_id, 'account')}"
    below = fields.cursor(scope)
    fields.check()
    account = find(account_id)
    query = (
        select(Entry)
        .where(Entry.account_id == account.id, Entry.id < below)
        .order_by(Entry.id.desc())
        .limit(limit + 1)
        .options(joinedload(Entry.transaction))
    )
    rows = session().scalars(query).all()
    items = [show.entry(row, row.transaction, account.currency) for row in rows[:limit]]
    more = cursors.encode(rows[limit - 1].id, scope) if len(rows) > limit else None
    return jsonify(items=items, next_cursor=more)


@blueprint.get("/<account_id>/statement")
def get_statement(account_id: str) -> ResponseReturnValue:
    """All entries of one month (UTC), oldest first, as CSV."""
    fields = parsing.query({"month"})
    start, end = fields.month("month")
    key = parsing.path_id(account_id, "account")
    fields.check()
    account = find(account_id)
    response = Response(
        statements.lines(current_app.extensions["engine"], key, account.currency, start, end),
        content_type="text/csv; charset=utf-8",
    )
    name = f"statement-{key}-{start:%Y-%m}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.post("")
def open_account() -> ResponseReturnValue:
    fields = parsing.body({"name", "currency", "opening_balance"})
    account = Account(
        merchant_id=merchant(),
        name=fields.text("name", MAX_NAME),
        currency=fields.choice("currency", DECIMALS),
        balance=0,
        status="active",
    )
    opening = fields.money("opening_balance", positive=False, required=False)
    fields.check()
    if opening and opening[1] != account.currency:
        raise Problem("currency-mismatch", "The opening balance must be in the account's currency.")
    session().add(account)
    session().flush()
    if opening and opening[0]:
        _fund(account, opening[0])
    session().commit()
    return jsonify(show.account(account)), 201, {"Location": f"/accounts/{account.id}"}


def _fund(account: Account, amount: int) -> None:
    """Pay the opening balance from the merchant's settlement account. Raises Problem."""
    settlement_id: UUID | None = session().scalar(
        select(Account.id).where(
            Account.merchant_id == merchant(),
            Account.kind == "settlement",
            Account.currency == account.currency,
        )
    )
    if settlement_id is None:
        raise Problem("no-settlement-account", f"You have no settlement account in {account.currency}.")
    # Nobody else can see the new row yet: locking only the other one cannot deadlock.
    [settlement] = ledger.lock_accounts(session(), merchant(), [settlement_id])
    try:
        ledger.transfer(session(), settlement, account, amount, LedgerTransaction(kind="opening"))
    except ledger.Declined as declined:
        raise ledger.refuse(declined) from None


@blueprint.put("/<account_id>")
def replace_account(account_id: str) -> ResponseReturnValue:
    document = parsing.document()
    key = parsing.path_id(account_id, "account")
    fields = parsing.fields(document, {"name", "status"})
    name, status = fields.text("name", MAX_NAME), fields.choice("status", {"active", "frozen"})
    fields.check()
    [account] = ledger.lock_accounts(session(), merchant(), [key])
    account.name, account.status = name, status
    account.version += 1
    account.updated_at = session().scalars(select(func.clock_timestamp())).one()
    session().commit()
    return jsonify(show.account(account))
