"""Money: integer minor units inside, `{"amount": "12.34", "currency": "EUR"}` outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Currency = Literal["CHF", "EUR", "GBP", "JPY", "KWD", "USD"]

DECIMALS: dict[str, int] = {"CHF": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "USD": 2}
"""Decimal places of each supported currency (ISO 4217)."""

AMOUNT = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,3})?$"


def check_scale(amount: str, currency: str) -> str:
    """The amount, if it has exactly the currency's decimal places; raises ValueError."""
    places = DECIMALS[currency]
    if len(amount.partition(".")[2]) != places:
        raise ValueError(f"must have {places} decimal places for {currency}")
    return amount


def to_minor(amount: str) -> int:
    """Minor units of an amount whose scale has been checked."""
    return int(amount.replace(".", ""))


def to_text(minor: int, currency: str) -> str:
    return f"{Decimal(minor).scaleb(-DECIMALS[currency]):f}"


class MoneyIn(BaseModel):
    """An amount as clients send it: a plain decimal with exactly the currency's places, not negative."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: Currency  # first: the amount's places depend on it
    amount: Annotated[str, Field(pattern=AMOUNT, max_length=16, examples=["12.34"])]

    @field_validator("amount")
    @classmethod
    def _scale(cls, value: str, info: ValidationInfo) -> str:
        currency = info.data.get("currency")
        return check_scale(value, currency) if currency else value

    @property
    def minor(self) -> int:
        return to_minor(self.amount)


class PositiveMoney(MoneyIn):
    """More than zero."""

    @field_validator("amount")
    @classmethod
    def _positive(cls, value: str) -> str:
        if not to_minor(value):
            raise ValueError("must be greater than zero")
        return value


class Money(BaseModel):
    """An amount as the service answers; negative where money left an account."""

    amount: Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]{1,3})?$", examples=["12.34"])]
    currency: Currency

    @classmethod
    def of(cls, minor: int, currency: str) -> Money:
        """From the database, which is trusted: not validated again."""
        return cls.model_construct(amount=to_text(minor, currency), currency=cast(Currency, currency))
