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
ROUNDS: Final = 3


def cost(run: Callable[[Any], object], given: Any, tries: int = 2) -> float:
    """Seconds of CPU time, at best."""
    least = float("inf")
    for _ in range(tries):
        begun = time.thread_time()
        run(given)
        least = min(least, time.thread_time() - begun)
    return least


def superlinear(make: Callable[[int], Any], run: Callable[[Any], object], largest: int = 64 * 1024) -> str:
    """Why the work is not linear, or "". `make` gives an input of about that size, `run` works on it.

    Begins small and stops at the first doubling that costs too much: what is cubic would not end otherwise.
    """
    size = SMALLEST
    half = make(size)
    while size < largest:
        size *= 2
        whole = make(size)
        if cost(run, whole) > NOTICED and (why := _too_much(run, half, whole)):
            return f"{size} bytes take {why}"
        half = whole
    return ""


def _too_much(run: Callable[[Any], object], half: Any, whole: Any) -> str:
    """It must be too much each time: somebody else may have had the machine's caches. "": it is not."""
    why = ""
    for _ in range(ROUNDS):
        small, large = cost(run, half, TRIES), cost(run, whole, TRIES)
        if large < NOTICED or large < RATIO * small:
            return ""
        why = f"{large * 1000:.1f} ms, half of them {small * 1000:.1f} ms"
    return why
