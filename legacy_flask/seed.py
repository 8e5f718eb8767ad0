"""Fills an empty ledger with merchants, accounts and payments: the same from the same seed, loaded with COPY.

Rows are written to one spool file per table first and copied from there, so memory stays flat at any size.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import IO, Any
from uuid import UUID

import psycopg
from psycopg import sql

START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = timedelta(days=90)  # payments are spread evenly over it
CURRENCIES = ("EUR", "USD", "GBP")
SETTLEMENT = 10**13  # minor units each settlement account is funded with
OPENING = 100_000_00
SMALLEST, LARGEST = 100, 50_00  # minor units of a payment
SAMPLE = 200  # ids of each kind in the summary, per merchant

COLUMNS = {
    "merchants": "id, name, created_at",
    "api_keys": "digest, merchant_id, created_at",
    "accounts": "id, merchant_id, kind, name, currency, status, balance, version, created_at, updated_at",
    "payments": "id, merchant_id, source_account_id, destination_account_id, amount, currency, description,"
    " status, refunded, created_at",
    "ledger_transactions": "id, kind, payment_id, created_at",
    "entries": "transaction_id, account_id, amount, balance_after, created_at",
}
NULL = "\\N"


@dataclass(slots=True)
class SeedAccount:
    id: UUID
    merchant_id: UUID | None
    kind: str
    name: str
    currency: str
    balance: int = 0


@dataclass(slots=True)
class SeedMerchant:
    id: UUID
    name: str
    api_key: str
    settlements: dict[str, SeedAccount] = field(default_factory=dict)
    customers: list[SeedAccount] = field(default_factory=list)
    payments: list[UUID] = field(default_factory=list)  # the first SAMPLE


class Spool:
    """Rows of every table in COPY's text format, and the state of the ledger while they are made."""

    def __init__(self, stack: ExitStack, seed: int) -> None:
        self.files: dict[str, IO[str]] = {
            table: stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115
            for table in COLUMNS
        }
        self.random = random.Random(seed)
        self.accounts: list[SeedAccount] = []

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def row(self, table: str, *values: object) -> None:
        self.files[table].write("\t".join(map(str, values)) + "\n")

    def account(self, merchant: SeedMerchant | None, kind: str, name: str, currency: str) -> SeedAccount:
        made = SeedAccount(self.uuid(), merchant.id if merchant else None, kind, name, currency)
        self.accounts.append(made)
        return made

    def move(
        self, kind: str, payment: object, source: SeedAccount, destination: SeedAccount, amount: int, at: str
    ) -> None:
        transaction = self.uuid()
        source.balance -= amount
        destination.balance += amount
        self.row("ledger_transactions", transaction, kind, payment, at)
        self.row("entries", transaction, source.id, -amount, source.balance, at)
        self.row("entries", transaction, destination.id, amount, destination.balance, at)

    def pay(self, merchant: SeedMerchant, source: SeedAccount, destination: SeedAccount, at: str) -> None:
        amount = self.random.randint(SMALLEST, LARGEST)
        if source.balance < amount:
            source, destination = destination, source
        if source.balance < amount:
            source = merchant.settlements[source.currency]
        payment = self.uuid()
        if len(merchant.payments) < SAMPLE:
            merchant.payments.append(payment)
        ids = (payment, merchant.id, source.id, destination.id)
        self.row("payments", *ids, amount, source.currency, f"Order {payment.hex[:8]}", "completed", 0, at)
        self.move("payment", payment, source, destination, amount, at)


def seed(url: str, payments: int, accounts: int, merchants: int = 3, seed: int = 1) -> dict[str, Any]:
    """Load the ledger at `url` (libpq form), which must be migrated and empty.

    Returns what clients need: each merchant's API key, and ids of accounts and payments. Raises ValueError
    if there are too few accounts for two in each currency of each merchant, or psycopg.Error.
    """
    if payments < 0 or merchants < 1:
        raise ValueError("--payments: at least 0; --merchants: at least 1")
    if accounts < merchants * len(CURRENCIES) * 2:
        raise ValueError(f"--accounts: at least {merchants * len(CURRENCIES) * 2} for {merchants} merchants")
    with ExitStack() as stack, psycopg.connect(url) as connection:
        spool = Spool(stack, seed)
        made = _merchants(spool, merchants, seed)
        _accounts(spool, made, accounts)
        _payments(spool, made, payments)
        for account in spool.accounts:
            _account_row(spool, account)
        _skip_key_checks(connection)
        for table, columns in COLUMNS.items():
            _copy(connection, table, columns, spool.files[table])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return _summary(made, payments, accounts, seed)


def api_key(seed: int, number: int) -> str:
    """The API key of the seed's merchant with this number, from 0."""
    return "sk_" + hashlib.blake2b(f"{seed} {number}".encode(), digest_size=20).hexdigest()


def _merchants(spool: Spool, count: int, seed: int) -> list[SeedMerchant]:
    made = [SeedMerchant(spool.uuid(), f"Merchant {n + 1}", api_key(seed, n)) for n in range(count)]
    for merchant in made:
        spool.row("merchants", merchant.id, merchant.name, START)
        digest = hashlib.sha256(merchant.api_key.encode()).hexdigest()
        spool.row("api_keys", f"\\\\x{digest}", merchant.id, START)
    return made


def _accounts(spool: Spool, merchants: list[SeedMerchant], count: int) -> None:
    """Settlement accounts funded from outside (clearing), customers' funded from settlement."""
    at = START.isoformat()
    for currency in CURRENCIES:
        clearing = spool.account(None, "clearing", f"Clearing {currency}", currency)
        for merchant in merchants:
            funded = spool.account(merchant, "settlement", f"Settlement {currency}", currency)
            merchant.settlements[currency] = funded
            spool.move("opening", NULL, clearing, funded, SETTLEMENT, at)
    for number in range(count):
        merchant = merchants[number % len(merchants)]
        currency = CURRENCIES[number // len(merchants) % len(CURRENCIES)]
        customer = spool.account(merchant, "customer", f"Customer {number + 1}", currency)
        merchant.customers.append(customer)
        spool.move("opening", NULL, merchant.settlements[currency], customer, OPENING, at)


def _payments(spool: Spool, merchants: list[SeedMerchant], count: int) -> None:
    purses = {
        (merchant.id, currency): [a for a in merchant.customers if a.currency == currency]
        for merchant in merchants
        for currency in CURRENCIES
    }
    pick = spool.random.sample
    for merchant, (number, at) in zip(cycle(merchants), _moments(count), strict=False):
        currency = CURRENCIES[number // len(merchants) % len(CURRENCIES)]
        source, destination = pick(purses[merchant.id, currency], 2)
        spool.pay(merchant, source, destination, at)


def _moments(count: int) -> Iterator[tuple[int, str]]:
    first = START + timedelta(minutes=1)
    for number in range(count):
        yield number, (first + PERIOD * number / count).isoformat()


def _account_row(spool: Spool, account: SeedAccount) -> None:
    owner = account.merchant_id or NULL
    start = START.isoformat()
    ids = (account.id, owner, account.kind, account.name, account.currency)
    spool.row("accounts", *ids, "active", account.balance, 1, start, start)


def _skip_key_checks(connection: psycopg.Connection) -> None:
    """Twice as fast, and these rows refer to each other rightly. Only superusers may; others wait."""
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute("SET session_replication_role = replica")


def _copy(connection: psycopg.Connection, table: str, columns: str, rows: IO[str]) -> None:
    rows.seek(0)
    statement = sql.SQL(f"COPY {table} ({columns}) FROM STDIN")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        while block := rows.read(1 << 20):
            copy.write(block)


def _summary(merchants: list[SeedMerchant], payments: int, accounts: int, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "payments": payments,
        "accounts": accounts,
        "merchants": [
            {
                "id": str(merchant.id),
                "name": merchant.name,
                "api_key": merchant.api_key,
                "settlement_accounts": {c: str(a.id) for c, a in merchant.settlements.items()},
                "accounts": [{"id": str(a.id), "currency": a.currency} for a in merchant.customers[:SAMPLE]],
                "payments": [str(payment) for payment in merchant.payments],
            }
            for merchant in merchants
        ],
    }
