"""Whether a process is still working, judged by the time of its last report.

Pure: times are passed in, in seconds of any monotonic clock.
"""

from __future__ import annotations

from typing import Final, Literal

REPORT: Final = 1.0  # seconds between two reports of a process that lives
SHORTEST: Final = 3.0  # seconds that a bound must have: on a busy machine reports are late

Life = Literal["fresh", "silent", "hung"]
"""`silent`: it has missed several reports, and nothing should rely on it. `hung`: it is to be replaced."""


def life(silence: float, bound: float) -> Life:
    """The state of a process that last reported `silence` seconds ago and may be silent for `bound`."""
    if silence >= bound:
        return "hung"
    return "silent" if silence >= patience(bound) else "fresh"


def patience(bound: float) -> float:
    """Seconds of silence that are still normal."""
    return max(2.5 * REPORT, bound / 3)


class Awake:
    """A clock that counts only while this process itself was awake.

    After a stop (SIGSTOP, a debugger, a machine that was suspended) everybody else has been silent for as
    long. Time counts from tick to tick, and no tick for more than `step` seconds: the loop that should have
    ticked did not run, so it could not have heard anybody either.
    """

    def __init__(self, now: float, step: float) -> None:
        self._ticked = now
        self._step = step
        self._awake = 0.0

    def tick(self, now: float, *, counts: bool = True) -> None:
        """To be called more often than every `step` seconds. The time since the last one may not count."""
        if counts:
            self._awake = self.at(now)
        self._ticked = now

    def at(self, now: float) -> float:
        """Seconds awake so far."""
        return self._awake + min(self._step, max(0.0, now - self._ticked))
