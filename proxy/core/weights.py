"""Weights as people read them. Everywhere else a weight is an int in hundredths of a percent."""

from __future__ import annotations


def percent(weight: int) -> str:
    """As written in routing.yaml: 1250 -> "12.5"."""
    return f"{weight / 100:.2f}".rstrip("0").rstrip(".")


def percent_number(weight: int) -> int | float:
    """As JSON has it: 2500 -> 25, 1 -> 0.01."""
    return weight // 100 if weight % 100 == 0 else weight / 100
