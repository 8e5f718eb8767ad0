"""On which requests of one endpoint legacy is asked a second time, to learn what differs by itself.

Not where asking changes something. A link that works once, or a read that marks as read, answers the second
time with another status: that says nothing about the first answer and would pass for noise, in which a wrong
status of async could hide. Where most second answers do so, legacy is not asked again.
"""

from __future__ import annotations

from typing import Final

from proxy.core.comparison.made import Made

TWICE_FIRST: Final = 20  # requests for which legacy is asked twice; then every second
SURE: Final = 5  # second answers, after which one that mostly changes the status is asked for no more


class Repeats:
    """`made` is what tells noise where nothing is asked twice."""

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
