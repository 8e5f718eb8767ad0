"""Requests and responses. FastAPI's OpenAPI document is made from these and held against the contract's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from async_api.errors import BASE, KINDS
from async_api.money import AMOUNT, Currency, Money, MoneyIn, PositiveMoney, check_scale, to_minor

TEXT = r"^[^\x00-\x1f\x7f]+$"
UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

AccountStatus = Literal["active", "frozen"]
PaymentStatus = Literal["completed", "partially_refunded", "refunded"]


def canonical_uuid(value: object) -> UUID:
    """The UUID of its one canonical spelling; Pydantic alone would take upper case, braces and URNs too."""
    if not isinstance(value, str) or not UUID_PATTERN.fullmatch(value):
        raise ValueError("must be a UUID in lower case")
    return UUID(value)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds: `2026-01-31T12:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Id = Annotated[
    UUID,
    BeforeValidator(canonical_uuid),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": f"^{UUID_PATTERN.pattern}$"}),
]
Timestamp = Annotated[
    datetime, PlainSerializer(timestamp), WithJsonSchema({"type": "string", "format": "date-time"})
]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT, examples=["Ada Lovelace"])]
Note = Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT, examples=["Order 1843"])]


SOURCE, DESTINATION = "3099fdf5-ab99-454a-a901-e35cd47d380d", "d8f33418-f3d4-4711-9804-f92283868a29"
EUROS: dict[str, JsonValue] = {"amount": "12.34", "currency": "EUR"}


def example(**values: JsonValue) -> ConfigDict:
    """A request body's configuration: no unknown fields, and an example in the document."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [values]})


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AccountOpening(Body):
    model_config = example(name="Ada Lovelace", currency="EUR", opening_balance=EUROS)

    name: Name
    currency: Currency
    opening_balance: MoneyIn | None = None


class AccountReplacement(Body):
    model_config = example(name="Ada King", status="frozen")

    name: Name
    status: AccountStatus


class PaymentOrder(Body):
    model_config = example(
        source_account_id=SOURCE, destination_account_id=DESTINATION, amount=EUROS, description="Order 1843"
    )

    source_account_id: Id
    destination_account_id: Id
    amount: PositiveMoney
    description: Note | None = None

    @field_validator("destination_account_id")
    @classmethod
    def _differs(cls, value: UUID, info: ValidationInfo) -> UUID:
        if value == info.data.get("source_account_id"):
            raise ValueError("must differ from source_account_id")
        return value


class RefundOrder(Body):
    model_config = example(amount=EUROS, reason="Returned")

    amount: Annotated[PositiveMoney | None, Field(description="All that is left, if absent.")] = None
    reason: Note | None = None


class QuoteRequest(BaseModel):
    """Query parameters of a quote."""

    base: Currency
    quote: Currency
    amount: Annotated[str, Field(pattern=AMOUNT, max_length=16, examples=["12.34"])]

    @field_validator("quote")
    @classmethod
    def _differs(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("base"):
            raise ValueError("must differ from base")
        return value

    @field_validator("amount")
    @classmethod
    def _scale(cls, value: str, info: ValidationInfo) -> str:
        if base := info.data.get("base"):
            check_scale(value, base)
        if not to_minor(value):
            raise ValueError("must be greater than zero")
        return value


class Account(BaseModel):
    id: UUID
    kind: Literal["customer", "settlement"]
    name: str
    currency: Currency
    status: AccountStatus
    balance: Money
    version: Annotated[int, Field(ge=1, description="Grows by one with every PUT.")]
    created_at: Timestamp
    updated_at: Timestamp


class Transaction(BaseModel):
    """One entry of an account's ledger."""

    id: UUID
    type: Literal["opening", "payment", "refund"]
    payment_id: UUID | None
    amount: Money
    balance_after: Money
    created_at: Timestamp


class TransactionPage(BaseModel):
    items: list[Transaction]
    next_cursor: str | None


class Payment(BaseModel):
    id: UUID
    status: PaymentStatus
    source_account_id: UUID
    destination_account_id: UUID
    amount: Money
    refunded: Money
    description: str | None
    created_at: Timestamp


class PaymentPage(BaseModel):
    items: list[Payment]
    next_cursor: str | None


class Refund(BaseModel):
    id: UUID
    payment_id: UUID
    amount: Money
    reason: str | None
    status: Literal["completed", "declined"]
    decline_code: str | None
    created_at: Timestamp


class Quote(BaseModel):
    base: Currency
    quote: Currency
    rate: Annotated[str, Field(examples=["1.084213"])]
    amount: Money
    converted: Money
    quoted_at: Timestamp
    expires_at: Timestamp


class Health(BaseModel):
    status: Literal["ok"]


class ProblemField(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: Annotated[str, Field(json_schema_extra={"enum": [BASE + kind for kind in KINDS]})]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    errors: Annotated[list[ProblemField], Field(description="What is wrong with which field.")] = []
    trace_id: Annotated[
        str,
        Field(default_factory=str, pattern="^[0-9a-f]{32}$", description="Where requests are traced."),
    ]
