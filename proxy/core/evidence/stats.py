"""Latency histograms: fixed geometric bounds, so that those of all workers add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_FACTOR: Final = 1.12
_STEPS: Final = 1 / math.log(_FACTOR)
BOUNDS: Final[tuple[float, ...]] = tuple(0.00005 * _FACTOR**step for step in range(120))
"""Upper bounds in seconds, 50 us to 36 s, each 12 % above the last: a quantile is off by at most 6 %."""


def quantile(counts: Sequence[int], q: float) -> float | None:
    """The q-quantile (0-1) in seconds of a histogram over BOUNDS, or None if it is empty.

    Interpolates within the bucket; the open last bucket answers with its lower bound.
    """
    total = sum(counts)
    if not total:
        return None
    rank = q * total
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS[index - 1] if index else 0.0
            high = BOUNDS[index] if index < len(BOUNDS) else low
            return low + (high - low) * max(0.0, rank - seen) / count
        seen += count
    return BOUNDS[-1]


def subtract(newer: Sequence[int], older: Sequence[int]) -> list[int]:
    """What was counted between two readings of one histogram."""
    return [a - b for a, b in zip(newer, older, strict=True)]


def add(left: Sequence[int], right: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(left, right, strict=True)]


def bucket(seconds: float) -> int:
    """The index in a histogram over BOUNDS; a bound belongs to the bucket below it."""
    if seconds <= BOUNDS[0]:
        return 0
    if seconds > BOUNDS[-1]:
        return len(BOUNDS)
    index = int(math.log(seconds / BOUNDS[0]) * _STEPS)  # about, as floats go
    while index and seconds <= BOUNDS[index - 1]:
        index -= 1
    while seconds > BOUNDS[index]:
        index += 1
    return index
