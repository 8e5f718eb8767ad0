"""Payments between two accounts of a merchant, and their refunds."""

from __future__ import annotations

from uuid import uuid4

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import or_, select

from legacy_flask import cursors, ledger, parsing
from legacy_flask import representations as show
from legacy_flask.auth import authenticate, merchant
from legacy_flask.db import session
from legacy_flask.errors import Problem, not_found
from legacy_flask.models import Account, LedgerTransaction, Payment, Refund

blueprint = Blueprint("payments", __name__, url_prefix="/payments")
blueprint.before_request(authenticate)
blueprint.before_request(parsing.refuse_repeated)

MAX_TEXT = 200
STATUSES = ("completed", "partially_refunded", "refunded")


@blueprint.get("/<payment_id>")
def get_payment(payment_id: str) -> ResponseReturnValue:
    key = parsing.path_id(payment_id, "payment")
    found = session().scalar(select(Payment).where(Payment.id == key, Payment.merchant_id == merchant()))
    if found is None:
        raise not_found("payment")
    return jsonify(show.payment(found))


@blueprint.get("")
def list_payments() -> ResponseReturnValue:
    """Newest first; of one account (either side) or all, in one status or any."""
    fields = parsing.query({"account_id", "status", "limit", "cursor"})
    account_id = fields.uuid("account_id", required=False)
    status = fields.choice("status", STATUSES, required=False)
    limit, scope = fields.limit(), f"payments {merchant()} {account_id or ''} {status}"
    below = fields.cursor(scope)
    fields.check()
    query = select(Payment).where(Payment.merchant_id == merchant(), Payment.seq < below)
    if account_id:
        _require_account(account_id)
        query = query.where(
            or_(Payment.source_account_id == account_id, Payment.destination_account_id == account_id)
        )
    if status:
        query = query.where(Payment.status == status)
    rows = session().scalars(query.order_by(Payment.seq.desc()).limit(limit + 1)).all()
    more = cursors.encode(rows[limit - 1].seq, scope) if len(rows) > limit else None
    return jsonify(items=[show.payment(row) for row in rows[:limit]], next_cursor=more)


@blueprint.post("")
def create_payment() -> ResponseReturnValue:
    fields = parsing.body({"source_account_id", "destination_account_id", "amount", "description"})
    source_id, destination_id = fields.uuid("source_account_id"), fields.uuid("destination_account_id")
    amount = fields.money("amount")
    description = fields.text("description", MAX_TEXT, required=False)
    if source_id and source_id == destination_id:
        fields.wrong("destination_account_id", "must differ from source_account_id")
    fields.check()
    assert source_id
    assert destination_id
    assert amount
    source, destination = ledger.lock_accounts(session(), merchant(), [source_id, destination_id])
    for account in (source, destination):
        ledger.check_currency(account, amount[1])
    payment = Payment(
        id=uuid4(),
        merchant_id=merchant(),
        source_account_id=source.id,
        destination_account_id=destination.id,
        amount=amount[0],
        currency=amount[1],
        description=description or None,
        status="completed",
        refunded=0,
    )
    _pay(payment, source, destination)
    session().commit()
    return jsonify(show.payment(payment)), 201, {"Location": f"/payments/{payment.id}"}


def _pay(payment: Payment, source: Account, destination: Account) -> None:
    session().add(payment)
    session().flush()
    transaction = LedgerTransaction(kind="payment", payment_id=payment.id)
    try:
        ledger.transfer(session(), source, destination, payment.amount, transaction)
    except ledger.Declined as declined:
        raise ledger.refuse(declined) from None


@blueprint.post("/<payment_id>/refunds")
def create_refund(payment_id: str) -> ResponseReturnValue:
    document = parsing.document()
    key = parsing.path_id(payment_id, "payment")
    fields = parsing.fields(document, {"amount", "reason"})
    amount = fields.money("amount", required=False)
    reason = fields.text("reason", MAX_TEXT, required=False)
    fields.check()
    # The payment's row first, then the accounts in id order: the same in every writer.
    payment = session().scalar(
        select(Payment)
        .where(Payment.id == key, Payment.merchant_id == merchant())
        .with_for_update(key_share=True)
    )
    if payment is None:
        raise not_found("payment")
    refund = Refund(
        id=uuid4(),
        payment_id=payment.id,
        amount=_refundable(payment, amount),
        reason=reason or None,
        status="completed",
    )
    declined = _refund(payment, refund)
    session().commit()
    if declined:
        raise ledger.refuse(declined)
    return jsonify(show.refund(refund, payment.currency)), 201


def _refundable(payment: Payment, amount: tuple[int, str] | None) -> int:
    """What to refund: the amount asked for, or all that is left. Raises Problem."""
    left = payment.amount - payment.refunded
    if amount and amount[1] != payment.currency:
        raise Problem("currency-mismatch", f"The payment is in {payment.currency}, not {amount[1]}.")
    wanted = amount[0] if amount else left
    if not 0 < wanted <= left:
        raise Problem("refund-exceeds-payment", "The amount is more than what is left of the payment.")
    return wanted


def _refund(payment: Payment, refund: Refund) -> ledger.Declined | None:
    """Move the money back inside a savepoint: a declined refund is kept as such, the payment as it was."""
    accounts = [payment.destination_account_id, payment.source_account_id]
    giver, taker = ledger.lock_accounts(session(), merchant(), accounts)
    transaction = LedgerTransaction(kind="refund", payment_id=payment.id, refund_id=refund.id)
    try:
        with session().begin_nested():
            session().add(refund)
            session().flush()
            ledger.transfer(session(), giver, taker, refund.amount, transaction)
            payment.refunded += refund.amount
            payment.status = "refunded" if payment.refunded == payment.amount else "partially_refunded"
    except ledger.Declined as declined:
        refund.status, refund.decline_code = "declined", declined.code
        session().add(refund)
        return declined
    return None


def _require_account(account_id: object) -> None:
    query = select(Account.id).where(Account.id == account_id, Account.merchant_id == merchant())
    if session().scalar(query) is None:
        raise not_found("account")
