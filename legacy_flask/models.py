"""The ledger's tables. Money is integer minor units; Alembic (migrations/) owns the schema.

Every payment, refund and opening is one ledger transaction of two entries that sum to zero. A balance is the
sum of an account's entries, kept on the account in the same transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Not now(): that is when the transaction began, and entries of one account must carry times in the order of
# their ids, which are given out under the account's row lock.
NOW = text("clock_timestamp()")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
    }


class Merchant(Base):
    __tablename__ = "merchants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ApiKey(Base):
    __tablename__ = "api_keys"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # SHA-256 of the key
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("kind IN ('customer', 'settlement', 'clearing')", name="accounts_kind"),
        CheckConstraint("status IN ('active', 'frozen')", name="accounts_status"),
        CheckConstraint("(merchant_id IS NULL) = (kind = 'clearing')", name="accounts_owner"),
        CheckConstraint("balance >= 0 OR kind = 'clearing'", name="accounts_balance"),
        Index("accounts_merchant", "merchant_id"),
        Index(
            "accounts_settlement",
            "merchant_id",
            "currency",
            unique=True,
            postgresql_where=text("kind = 'settlement'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    merchant_id: Mapped[UUID | None] = mapped_column(ForeignKey("merchants.id"))
    kind: Mapped[str] = mapped_column(default="customer")
    name: Mapped[str]
    currency: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    balance: Mapped[int] = mapped_column(BigInteger, default=0)
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Payment(Base):
    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount > 0", name="payments_amount"),
        CheckConstraint("refunded BETWEEN 0 AND amount", name="payments_refunded"),
        CheckConstraint("source_account_id <> destination_account_id", name="payments_accounts"),
        CheckConstraint("status IN ('completed', 'partially_refunded', 'refunded')", name="payments_status"),
        Index("payments_seq", "seq", unique=True),
        Index("payments_merchant", "merchant_id", "seq"),
        Index("payments_source", "source_account_id", "seq"),
        Index("payments_destination", "destination_account_id", "seq"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    seq: Mapped[int] = mapped_column(BigInteger, Identity())
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    source_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    destination_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="completed")
    refunded: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Refund(Base):
    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="refunds_amount"),
        CheckConstraint("status IN ('completed', 'declined')", name="refunds_status"),
        CheckConstraint("(status = 'declined') = (decline_code IS NOT NULL)", name="refunds_decline"),
        Index("refunds_payment", "payment_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="completed")
    decline_code: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class LedgerTransaction(Base):
    __tablename__ = "ledger_transactions"
    __table_args__ = (
        CheckConstraint("kind IN ('opening', 'payment', 'refund')", name="ledger_transactions_kind"),
        CheckConstraint("(payment_id IS NULL) = (kind = 'opening')", name="ledger_transactions_payment"),
        CheckConstraint("(refund_id IS NOT NULL) = (kind = 'refund')", name="ledger_transactions_refund"),
        # A payment and a refund move money once, whatever the application does.
        Index(
            "ledger_transactions_once_per_payment",
            "payment_id",
            unique=True,
            postgresql_where=text("kind = 'payment'"),
        ),
        Index("ledger_transactions_once_per_refund", "refund_id", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[str]
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("payments.id"))
    refund_id: Mapped[UUID | None] = mapped_column(ForeignKey("refunds.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    entries: Mapped[list[Entry]] = relationship(back_populates="transaction")


class Entry(Base):
    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="entries_amount"),
        Index("entries_transaction", "transaction_id"),
        Index("entries_account", "account_id", "id"),
        Index("entries_account_time", "account_id", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transactions.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)  # negative: money leaves the account
    balance_after: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    transaction: Mapped[LedgerTransaction] = relationship(back_populates="entries")


class IdempotencyKey(Base):
    """Keys and stored answers of the new service: they are here because the schema is."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created_at", "created_at"),)

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    media_type: Mapped[str | None]
    location: Mapped[str | None]
    body: Mapped[bytes]
    created_at: Mapped[datetime]


class CacheReader(Base):
    """One row: until when somebody reads the outbox. Of the new service, as is the next table."""

    __tablename__ = "cache_readers"
    __table_args__ = (CheckConstraint("id = 1", name="cache_readers_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    until: Mapped[datetime]


class CacheChange(Base):
    """Triggers add a row for everything that changed; see migration 0003."""

    __tablename__ = "cache_outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tag: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
