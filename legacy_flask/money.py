"""Money: integer minor units inside, `{"amount": "12.34", "currency": "EUR"}` outside."""

from __future__ import annotations

import re
from decimal import Decimal

DECIMALS = {"CHF": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "USD": 2}
"""Decimal places of each supported currency (ISO 4217)."""

AMOUNT = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,3})?")


def parse_amount(text: str, currency: str) -> int:
    """Minor units of a plain decimal with exactly the currency's places, or ValueError."""
    match = AMOUNT.fullmatch(text)
    if not match:
        raise ValueError("must be a plain decimal number such as 12.34, at most 12 digits before the point")
    places = DECIMALS[currency]
    if len((match[2] or ".")[1:]) != places:
        raise ValueError(f"must have {places} decimal places for {currency}")
    return int(text.replace(".", ""))


def format_amount(minor: int, currency: str) -> str:
    return f"{Decimal(minor).scaleb(-DECIMALS[currency]):f}"


def money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": format_amount(minor, currency), "currency": currency}
