"""Measures time by a clock that nobody sets, and uses it to check the database's clock.

The clocks of replicas differ, so expiry, and every time in a row, uses the database's clock (`now`). Even
that may be set forward by mistake; then what was completed a moment ago would have expired. So each worker
compares it with the time since the machine started, and nothing expires by a clock that runs ahead of
that.
"""

from __future__ import annotations

import math
import time
from typing import Final

SLACK: Final = 30.0  # seconds that a clock may be set forward unnoticed
_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since some moment; they go on while the process is stopped, and the machine asleep."""
    return time.clock_gettime(_BOOT)


class Clock:
    """What one worker has seen of the database's clock."""

    def __init__(self) -> None:
        self._ahead = math.inf  # of `elapsed`, the least that was seen

    def see(self, now: float) -> None:
        self._ahead = min(self._ahead, now - elapsed())

    def latest(self) -> float:
        """What it may show by now without having been set forward since it was first seen."""
        return self._ahead + elapsed() + SLACK
