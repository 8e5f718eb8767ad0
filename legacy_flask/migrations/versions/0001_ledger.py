"""Merchants, accounts, payments, refunds and the double-entry ledger under them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), primary_key=True)


def _time(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )


def _ref(name: str, target: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), sa.ForeignKey(target), nullable=nullable)


def _text(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _big(name: str, *more: sa.schema.SchemaItem) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), *more, nullable=False)


def upgrade() -> None:
    op.create_table("merchants", _id(), _text("name"), _time())
    op.create_table(
        "api_keys",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        _ref("merchant_id", "merchants.id"),
        _time(),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_api_keys_merchant_id", "api_keys", ["merchant_id"])
    _accounts()
    _payments()
    _refunds()
    _ledger()


def _accounts() -> None:
    op.create_table(
        "accounts",
        _id(),
        _ref("merchant_id", "merchants.id", nullable=True),
        _text("kind"),
        _text("name"),
        _text("currency"),
        _text("status"),
        _big("balance"),
        sa.Column("version", sa.Integer(), nullable=False),
        _time(),
        _time("updated_at"),
        sa.CheckConstraint("kind IN ('customer', 'settlement', 'clearing')", name="accounts_kind"),
        sa.CheckConstraint("status IN ('active', 'frozen')", name="accounts_status"),
        sa.CheckConstraint("(merchant_id IS NULL) = (kind = 'clearing')", name="accounts_owner"),
        sa.CheckConstraint("balance >= 0 OR kind = 'clearing'", name="accounts_balance"),
    )
    op.create_index("accounts_merchant", "accounts", ["merchant_id"])
    op.create_index(
        "accounts_settlement",
        "accounts",
        ["merchant_id", "currency"],
        unique=True,
        postgresql_where=sa.text("kind = 'settlement'"),
    )


def _payments() -> None:
    statuses = "status IN ('completed', 'partially_refunded', 'refunded')"
    op.create_table(
        "payments",
        _id(),
        _big("seq", sa.Identity()),
        _ref("merchant_id", "merchants.id"),
        _ref("source_account_id", "accounts.id"),
        _ref("destination_account_id", "accounts.id"),
        _big("amount"),
        _text("currency"),
        _text("description", nullable=True),
        _text("status"),
        _big("refunded"),
        _time(),
        sa.CheckConstraint("amount > 0", name="payments_amount"),
        sa.CheckConstraint("refunded BETWEEN 0 AND amount", name="payments_refunded"),
        sa.CheckConstraint("source_account_id <> destination_account_id", name="payments_accounts"),
        sa.CheckConstraint(statuses, name="payments_status"),
    )
    op.create_index("payments_seq", "payments", ["seq"], unique=True)
    op.create_index("payments_merchant", "payments", ["merchant_id", "seq"])
    op.create_index("payments_source", "payments", ["source_account_id", "seq"])
    op.create_index("payments_destination", "payments", ["destination_account_id", "seq"])


def _refunds() -> None:
    op.create_table(
        "refunds",
        _id(),
        _ref("payment_id", "payments.id"),
        _big("amount"),
        _text("reason", nullable=True),
        _text("status"),
        _text("decline_code", nullable=True),
        _time(),
        sa.CheckConstraint("amount > 0", name="refunds_amount"),
        sa.CheckConstraint("status IN ('completed', 'declined')", name="refunds_status"),
        sa.CheckConstraint("(status = 'declined') = (decline_code IS NOT NULL)", name="refunds_decline"),
    )
    op.create_index("refunds_payment", "refunds", ["payment_id", "created_at"])


def _ledger() -> None:
    op.create_table(
        "ledger_transactions",
        _id(),
        _text("kind"),
        _ref("payment_id", "payments.id", nullable=True),
        _ref("refund_id", "refunds.id", nullable=True),
        _time(),
        sa.CheckConstraint("kind IN ('opening', 'payment', 'refund')", name="ledger_transactions_kind"),
        sa.CheckConstraint("(payment_id IS NULL) = (kind = 'opening')", name="ledger_transactions_payment"),
        sa.CheckConstraint("(refund_id IS NOT NULL) = (kind = 'refund')", name="ledger_transactions_refund"),
    )
    op.create_index(
        "ledger_transactions_once_per_payment",
        "ledger_transactions",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'payment'"),
    )
    op.create_index("ledger_transactions_once_per_refund", "ledger_transactions", ["refund_id"], unique=True)
    op.create_table(
        "entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        _ref("transaction_id", "ledger_transactions.id"),
        _ref("account_id", "accounts.id"),
        _big("amount"),
        _big("balance_after"),
        _time(),
        sa.CheckConstraint("amount <> 0", name="entries_amount"),
    )
    op.create_index("entries_transaction", "entries", ["transaction_id"])
    op.create_index("entries_account", "entries", ["account_id", "id"])
    op.create_index("entries_account_time", "entries", ["account_id", "created_at", "id"])


def downgrade() -> None:
    for table in (
        "entries",
        "ledger_transactions",
        "refunds",
        "payments",
        "accounts",
        "api_keys",
        "merchants",
    ):
        op.drop_table(table)
