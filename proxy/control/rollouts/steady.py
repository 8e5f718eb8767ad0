"""Unix seconds that never go backwards, and do not jump when somebody sets the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Steady:
    """Takes the wall clock once, and goes on by a clock that nobody sets."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._steady = steady
        self._ahead = wall() - steady()

    def __call__(self) -> float:
        return self._steady() + self._ahead

    def not_before(self, moment: float) -> None:
        """Nothing that was written down lies in the future: the clock was set back since, and time goes on
        from there."""
        self._ahead = max(self._ahead, moment - self._steady())
