"""Two kinds of load, or two proxies, measured in turn: what matters is the ratio within each pair of rounds.

Neighbours on the machine slow both halves of a pair alike, so ratios spread far less than the figures do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from bench.measure import Round


class Pair(NamedTuple):
    """`plain` without, `extra` with what is to be measured."""

    plain: Round
    extra: Round


FIGURES: dict[str, tuple[Callable[[Round], float], str]] = {
    "p50 ms": (lambda measured: measured.p50, ",.2f"),
    "p99 ms": (lambda measured: measured.p99, ",.2f"),
    "req/s": (lambda measured: measured.per_second, ",.0f"),
    "CPU us/req": (lambda measured: measured.cpu, ",.0f"),
}


def measure(plain: Callable[[int], Round], extra: Callable[[int], Round], rounds: int) -> list[Pair]:
    """`rounds` pairs; which half comes first alternates. Both functions get the number of the round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = extra(number)
            pairs.append(Pair(plain(number), second))
        else:
            pairs.append(Pair(plain(number), extra(number)))
    return pairs


def cells(pairs: Sequence[Pair], figure: str) -> tuple[str, str, str]:
    """Median without, median with, and the median of the ratios with their range."""
    value, spec = FIGURES[figure]
    ratios = [value(pair.extra) / value(pair.plain) for pair in pairs if value(pair.plain)]
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-"
    plain, extra = (median(map(value, half)) for half in zip(*pairs, strict=True))
    return format(plain, spec), format(extra, spec), ratio


def failed(pairs: Sequence[Pair]) -> int:
    return sum(pair.plain.errors + pair.extra.errors for pair in pairs)
