"""Small line charts as SVG coordinates: both backends on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

WIDTH: Final = 120
HEIGHT: Final = 28


class Sparkline(NamedTuple):
    """`lines` are `points` attributes of polylines by backend; `label` says in words what they show."""

    what: str
    lines: dict[str, str]
    label: str


def sparkline(what: str, unit: str, values: Mapping[str, Sequence[float]]) -> Sparkline | None:
    """Of the last hour, oldest first. None if there is nothing to draw."""
    top = max((value for line in values.values() for value in line), default=0.0)
    if not top:
        return None
    words = [f"{name} {_range(line)}{unit}" for name, line in values.items() if any(line)]
    lines = {name: _points(line, top) for name, line in values.items() if any(line)}
    return Sparkline(what, lines, f"{what} in the last hour: {', '.join(words)}")


def _points(values: Sequence[float], top: float) -> str:
    step = WIDTH / max(1, len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{HEIGHT - 1 - value / top * (HEIGHT - 2):.1f}"
        for index, value in enumerate(values)
    )


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g} to {high:g}" if low != high else f"{high:g}"
