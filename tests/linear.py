"""Holds that work grows with its input, not with a power of it: twice the bytes may take twice the time.

Measured in CPU time of this thread, the least of several tries, so that a busy machine does not show.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

SMALLEST: Final = 256
NOTICED: Final = 0.01  # seconds; less is no work worth a ratio
RATIO: Final = 3.0  # of twice the input: 2 if it is linear, 4 if it is quadratic
TRIES: Final = 5


def cost(work: Callable[[], object], tries: int = 2) -> float:
    """Seconds of CPU time, at best."""
    least = float("inf")
    for _ in range(tries):
        begun = time.thread_time()
        work()
        least = min(least, time.thread_time() - begun)
    return least


def superlinear(make: Callable[[int], Any], run: Callable[[Any], object], largest: int = 64 * 1024) -> str:
    """Why the work is not linear, or "". `make` gives an input of about that size, `run` works on it.

    Begins small and stops at the first doubling that costs too much: what is cubic would not end otherwise.
    """
    size = SMALLEST
    before = make(size)
    while size < largest:
        size *= 2
        after = make(size)
        if cost(lambda given=after: run(given)) > NOTICED:  # type: ignore[misc]
            small = cost(lambda given=before: run(given), TRIES)  # type: ignore[misc]
            large = cost(lambda given=after: run(given), TRIES)  # type: ignore[misc]
            if large > NOTICED and large > RATIO * small:
                return f"{size} bytes take {large * 1000:.1f} ms, half of them {small * 1000:.1f} ms"
        before = after
    return ""
