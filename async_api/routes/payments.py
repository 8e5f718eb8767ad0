"""Payments between two accounts of a merchant, and their refunds."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from async_api import cursors
from async_api.auth import Merchant
from async_api.database import Connection, Record
from async_api.errors import Problem
from async_api.idempotency import Done
from async_api.models import Id, Payment, PaymentOrder, PaymentPage, PaymentStatus, Refund, RefundOrder
from async_api.queries import accounts, ledger, payments
from async_api.routes.common import (
    NOT_MODIFIED,
    READ,
    WRITE,
    Cursor,
    Db,
    Limit,
    PaymentKey,
    answered,
    below,
    problems,
    router,
)
from async_api.writes import Writer

routes = router("/payments", "payments")


@routes.get("/{payment_id}", responses=NOT_MODIFIED | problems(*READ))
async def get_payment(key: PaymentKey, merchant: Merchant, database: Db) -> Payment:
    return payments.show(await payments.find(database, key, merchant))


@routes.get("", responses=NOT_MODIFIED | problems(*READ))
async def list_payments(
    merchant: Merchant,
    database: Db,
    account_id: Annotated[Id | None, Query(description="Either side.")] = None,
    status: Annotated[PaymentStatus | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> PaymentPage:
    """Newest first."""
    scope = f"payments {merchant} {account_id or ''} {status or ''}"
    start = below(cursor, scope)
    if account_id:
        await accounts.find(database, account_id, merchant)
    rows = await payments.page(database, merchant, account_id, status, start, limit + 1)
    more = cursors.encode(rows[limit - 1]["seq"], scope) if len(rows) > limit else None
    return PaymentPage.model_construct(items=[payments.show(row) for row in rows[:limit]], next_cursor=more)


@routes.post("", status_code=201, response_model=Payment, responses=problems(*WRITE))
async def create_payment(order: PaymentOrder, merchant: Merchant, writer: Writer) -> Response:
    async def work(connection: Connection) -> Done:
        payment = await _pay(connection, merchant, order)
        answer = answered(201, payments.show(payment), f"/payments/{payment['id']}")
        return Done(answer, (payments.EXISTS, payment["id"]))

    return await writer.execute(work)


async def _pay(connection: Connection, merchant: UUID, order: PaymentOrder) -> Record:
    ids = (order.source_account_id, order.destination_account_id)
    amount, currency = order.amount.minor, order.amount.currency
    source, destination = await accounts.lock(connection, ids, merchant)
    for account in (source, destination):
        ledger.check_currency(account, currency)
    payment = await payments.insert(connection, merchant, ids, amount, currency, order.description)
    try:
        await ledger.transfer(connection, "payment", source, destination, amount, payment["id"])
    except ledger.Declined as declined:
        raise declined.problem() from None
    return payment


@routes.post("/{payment_id}/refunds", status_code=201, response_model=Refund, responses=problems(*WRITE))
async def create_refund(
    key: PaymentKey,
    order: RefundOrder,
    merchant: Merchant,
    writer: Writer,
) -> Response:
    async def work(connection: Connection) -> Done:
        refund, currency, refused = await _refund(connection, merchant, key, order)
        shown = payments.show_refund(refund, currency)
        answer = refused.response() if refused else answered(201, shown)
        return Done(answer, (payments.REFUND_EXISTS, refund["id"]))

    return await writer.execute(work)


async def _refund(
    connection: Connection, merchant: UUID, key: UUID, order: RefundOrder
) -> tuple[Record, str, Problem | None]:
    """Move the money back inside a savepoint: a declined refund is kept as such, the payment as it was."""
    # The payment's row first, then the accounts in id order: the same in every writer.
    payment = await payments.lock(connection, key, merchant)
    amount = _refundable(payment, order)
    ids = (payment["destination_account_id"], payment["source_account_id"])
    giver, taker = await accounts.lock(connection, ids, merchant)
    try:
        async with connection.transaction():
            refund = await payments.insert_refund(connection, key, amount, order.reason)
            await ledger.transfer(connection, "refund", giver, taker, amount, key, refund["id"])
            await payments.add_refunded(connection, key, amount)
    except ledger.Declined as declined:
        refund = await payments.insert_refund(connection, key, amount, order.reason, declined.code)
        return refund, payment["currency"], declined.problem()
    return refund, payment["currency"], None


def _refundable(payment: Record, order: RefundOrder) -> int:
    """What to refund: the amount asked for, or all that is left. Raises Problem."""
    left: int = payment["amount"] - payment["refunded"]
    if order.amount and order.amount.currency != payment["currency"]:
        detail = f"The payment is in {payment['currency']}, not {order.amount.currency}."
        raise Problem("currency-mismatch", detail)
    wanted = order.amount.minor if order.amount else left
    if not 0 < wanted <= left:
        raise Problem("refund-exceeds-payment", "The amount is more than what is left of the payment.")
    return wanted
