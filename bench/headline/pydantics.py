"""Pydantic 2 beside 1 on the same models: a payment order in, a page of 20 payments out.

`pydantic.v1` is Pydantic 1.10 as version 2 carries it along, in pure Python; its compiled wheels were
faster than that.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pydantic
from pydantic import v1

from async_api.models import PaymentOrder, PaymentPage

ONE = "3099fdf5-ab99-454a-a901-e35cd47d380d"
OTHER = "d8f33418-f3d4-4711-9804-f92283868a29"
MONEY = {"amount": "12.34", "currency": "EUR"}
ORDER = {
    "source_account_id": ONE,
    "destination_account_id": OTHER,
    "amount": MONEY,
    "description": "Order 1843",
}
PAYMENT = {
    **ORDER,
    "id": ONE,
    "status": "completed",
    "created_at": "2026-01-31T12:00:00.000000Z",
    "refunded": {"amount": "0.00", "currency": "EUR"},
}
PAGE: dict[str, Any] = {"items": [PAYMENT] * 20, "next_cursor": None}

Currency = Literal["CHF", "EUR", "GBP", "JPY", "KWD", "USD"]
DECIMALS = {"CHF": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "USD": 2}


class MoneyInV1(v1.BaseModel, extra=v1.Extra.forbid):
    currency: Currency
    amount: v1.constr(regex=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,3})?$", max_length=16)  # type: ignore[valid-type]

    @v1.validator("amount")
    def _scale(cls, value: str, values: dict[str, Any]) -> str:
        if "currency" in values and len(value.partition(".")[2]) != DECIMALS[values["currency"]]:
            raise ValueError("wrong number of decimal places")
        if not int(value.replace(".", "")):
            raise ValueError("must be greater than zero")
        return value


class PaymentOrderV1(v1.BaseModel, extra=v1.Extra.forbid):
    source_account_id: UUID
    destination_account_id: UUID
    amount: MoneyInV1
    description: v1.constr(regex=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=200) | None = None  # type: ignore[valid-type]

    @v1.validator("destination_account_id")
    def _differs(cls, value: UUID, values: dict[str, Any]) -> UUID:
        if value == values.get("source_account_id"):
            raise ValueError("must differ from source_account_id")
        return value


class MoneyV1(v1.BaseModel):
    amount: v1.constr(regex=r"^-?[0-9]+(\.[0-9]{1,3})?$")  # type: ignore[valid-type]
    currency: Currency


class PaymentV1(v1.BaseModel):
    id: UUID
    status: Literal["completed", "partially_refunded", "refunded"]
    source_account_id: UUID
    destination_account_id: UUID
    amount: MoneyV1
    refunded: MoneyV1
    description: str | None
    created_at: datetime


class PaymentPageV1(v1.BaseModel):
    items: list[PaymentV1]
    next_cursor: str | None


for model in (MoneyInV1, PaymentOrderV1, MoneyV1, PaymentV1, PaymentPageV1):
    model.update_forward_refs(**globals())


def compare(seconds: float) -> dict[str, Any]:
    """Microseconds of each operation, by version; `seconds` is what each is run for."""
    order, page = json.dumps(ORDER).encode(), json.dumps(PAGE).encode()
    new, old = PaymentPage.model_validate_json(page), PaymentPageV1.parse_raw(page)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "validate a payment order": (
            lambda: PaymentOrder.model_validate_json(order),
            lambda: PaymentOrderV1.parse_raw(order),
        ),
        "validate a page of 20 payments": (
            lambda: PaymentPage.model_validate_json(page),
            lambda: PaymentPageV1.parse_raw(page),
        ),
        "write a page of 20 payments": (new.model_dump_json, old.json),
    }
    return {
        "versions": [pydantic.VERSION, v1.VERSION],
        "us": {name: [_microseconds(one, seconds) for one in pair] for name, pair in pairs.items()},
    }


def _microseconds(operation: Callable[[], object], seconds: float) -> float:
    """The best of five: what disturbs only ever adds."""
    timer = timeit.Timer(operation)
    once = max(1e-7, timer.timeit(20) / 20)
    number = max(1, int(seconds / 5 / once))
    return round(min(timer.repeat(5, number)) / number * 1e6, 2)
