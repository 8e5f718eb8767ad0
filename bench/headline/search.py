"""The most users that hold: raised by half until they do not, then halved in between. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

GROWTH = 1.5  # little, as what is far too much leaves a queue that takes long to go
PRECISION = 1.12  # the answer holds, and this many times as many do not


def most(holds: Callable[[int], bool], guess: int, ceiling: int, precision: float = PRECISION) -> int:
    """0 if not even one user holds; `ceiling` if that many do."""
    best, worst = 0, ceiling + 1
    users = max(1, min(guess, ceiling))
    while True:
        if holds(users):
            best = users
        else:
            worst = users
        if best == ceiling or worst == 1:
            return best
        if best and (worst <= best * precision or worst == best + 1):
            return best
        users = _next(best, worst, ceiling)


def _next(best: int, worst: int, ceiling: int) -> int:
    if not best:
        return max(1, worst // 2)
    if worst > ceiling:
        return min(best + 1 + int(best * (GROWTH - 1)), ceiling)
    return max(best + 1, min(worst - 1, round(math.sqrt(best * worst))))
