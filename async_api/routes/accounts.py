"""Accounts: open, read, change, their ledger entries page by page, and monthly statements."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse

from async_api import cursors, statements
from async_api.auth import Merchant
from async_api.database import Connection, Record
from async_api.errors import Problem
from async_api.idempotency import Done
from async_api.models import Account, AccountOpening, AccountReplacement, TransactionPage
from async_api.queries import accounts, entries, ledger
from async_api.routes.common import (
    NOT_MODIFIED,
    READ,
    WRITE,
    AccountKey,
    Cursor,
    Db,
    Limit,
    Month,
    answered,
    below,
    problems,
    router,
)
from async_api.writes import Writer

routes = router("/accounts", "accounts")


@routes.get("/{account_id}", responses=NOT_MODIFIED | problems(*READ))
async def get_account(key: AccountKey, merchant: Merchant, database: Db) -> Account:
    return accounts.show(await accounts.find(database, key, merchant))


@routes.get("/{account_id}/transactions", responses=NOT_MODIFIED | problems(*READ))
async def list_transactions(
    key: AccountKey, merchant: Merchant, database: Db, limit: Limit = 20, cursor: Cursor = None
) -> TransactionPage:
    """Newest first."""
    scope = f"transactions {key}"
    start = below(cursor, scope)
    account = await accounts.find(database, key, merchant)
    rows = await entries.page(database, key, start, limit + 1)
    more = cursors.encode(rows[limit - 1]["seq"], scope) if len(rows) > limit else None
    items = [entries.show(row, account["currency"]) for row in rows[:limit]]
    return TransactionPage.model_construct(items=items, next_cursor=more)


@routes.get(
    "/{account_id}/statement",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **problems(*READ)},
)
async def get_statement(key: AccountKey, month: Month, merchant: Merchant, database: Db) -> StreamingResponse:
    """All entries of one month (UTC), oldest first, as CSV."""
    account = await accounts.find(database, key, merchant)
    lines = statements.lines(database, key, account["currency"], month)
    disposition = f'attachment; filename="statement-{key}-{month}.csv"'
    headers = {"Content-Disposition": disposition, "Content-Type": "text/csv; charset=utf-8"}
    return StreamingResponse(lines, headers=headers)


@routes.post("", status_code=201, response_model=Account, responses=problems(*(s for s in WRITE if s != 404)))
async def open_account(opening: AccountOpening, merchant: Merchant, writer: Writer) -> Response:
    """The opening balance comes from the merchant's settlement account."""
    balance = opening.opening_balance
    if balance and balance.currency != opening.currency:
        raise Problem("currency-mismatch", "The opening balance must be in the account's currency.")

    async def work(connection: Connection) -> Done:
        account = await accounts.insert(connection, merchant, opening.name, opening.currency)
        if balance and balance.minor:
            await _fund(connection, merchant, account, balance.minor)
            [account] = await accounts.lock(connection, [account["id"]], merchant)
        answer = answered(201, accounts.show(account), f"/accounts/{account['id']}")
        return Done(answer, accounts.proof(account))

    return await writer.execute(work)


async def _fund(connection: Connection, merchant: UUID, account: Record, amount: int) -> None:
    settlement_id = await accounts.settlement(connection, merchant, account["currency"])
    if settlement_id is None:
        detail = f"You have no settlement account in {account['currency']}."
        raise Problem("no-settlement-account", detail)
    # Nobody else can see the new row yet: locking only the other one cannot deadlock.
    [settlement] = await accounts.lock(connection, [settlement_id], merchant)
    try:
        await ledger.transfer(connection, "opening", settlement, account, amount)
    except ledger.Declined as declined:
        raise declined.problem() from None


@routes.put("/{account_id}", response_model=Account, responses=problems(*WRITE))
async def replace_account(
    key: AccountKey,
    replacement: AccountReplacement,
    merchant: Merchant,
    writer: Writer,
) -> Response:
    async def work(connection: Connection) -> Done:
        account = await accounts.replace(connection, key, merchant, replacement.name, replacement.status)
        return Done(answered(200, accounts.show(account)), accounts.proof(account))

    return await writer.execute(work)
