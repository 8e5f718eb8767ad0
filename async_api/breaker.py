"""Leaves alone what keeps failing, and tries again now and then with a single call."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Open after `failures` in a row, for `open_for` seconds; then one call at a time until one succeeds."""

    def __init__(self, failures: int, open_for: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = failures
        self._open_for = open_for
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._allowed

    def admits(self) -> bool:
        """Whether to call now. Each call that was admitted ends in `success` or `failure`."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._until:
            return False
        self._until = now + self._open_for  # this call is the trial; the others wait for its outcome
        return True

    def success(self) -> None:
        self._failures = 0

    def failure(self) -> None:
        self._failures += 1
        self._until = self._clock() + self._open_for
