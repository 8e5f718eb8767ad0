"""Decides for which requests of one endpoint legacy is asked a second time, to learn what differs by itself.

This does not work if asking changes something. A link that works once, or a read that marks as read, gets
another status the second time. That says nothing about the first answer and would pass for noise, in which a
wrong status of async could hide. If most second answers have another status, legacy is not asked again.
"""

from __future__ import annotations

from typing import Final

from proxy.core.comparison.made import Made

TWICE_FIRST: Final = 20  # requests for which legacy is asked twice; then every second
SURE: Final = 5  # second answers, after which no more are requested if most had another status


class Repeats:
    """`made` recognizes noise in requests that are sent only once."""

    def __init__(self) -> None:
        self.made = Made()
        self._requests = 0
        self._repeated = 0
        self._changed = 0

    @property
    def stateful(self) -> bool:
        """Whether asking changes what legacy says: most second answers have another status."""
        return self._changed * 2 > self._repeated

    def wanted(self) -> bool:
        """Whether legacy should be asked again on the next request."""
        self._requests += 1
        if self.stateful and self._repeated >= SURE:
            return False
        return self._requests <= TWICE_FIRST or self._requests % 2 == 0

    def saw(self, first: int, second: int) -> None:
        """The statuses of two answers of legacy to one request."""
        self._repeated += 1
        self._changed += first != second
