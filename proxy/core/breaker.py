"""A circuit breaker, one per endpoint and worker, for safe requests that the async backend should answer.

Closed: requests pass, and the last `window` seconds are counted. When at least `min_requests` were seen
and `failure_ratio` of them failed, it opens: requests go to the fallback. After `open_for` seconds it lets
a share through that grows linearly from none to all over another `open_for`; a failing ramp opens it again,
a finished one closes it. Time and randomness are passed in.
"""

from __future__ import annotations

from typing import Final, Literal

from proxy.core.snapshot import Breaker as Settings

State = Literal["closed", "open", "ramping"]

_SLICES: Final = 10


class Breaker:
    """Counts in `_SLICES` slices of the window, so that old requests leave it smoothly."""

    __slots__ = ("_failures", "_opened", "_slice", "_totals", "settings", "state")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: State = "closed"
        self._opened = 0.0
        self._slice = 0
        self._totals = [0] * _SLICES
        self._failures = [0] * _SLICES

    def allows(self, now: float, random: float) -> bool:
        """Whether a request may go to async now; `random` in [0, 1) decides during the ramp."""
        if self.state == "closed":
            return True
        elapsed = now - self._opened - self.settings.open_for
        if elapsed < 0:
            return False
        if elapsed >= self.settings.open_for:
            self._reset("closed")
            return True
        if self.state == "open":
            self._reset("ramping")
        return random < elapsed / self.settings.open_for

    def record(self, failed: bool, now: float) -> bool:
        """Count one finished request; True if this opened the breaker."""
        if self.state == "open":
            return False  # a request from before it opened
        self._advance(now)
        index = self._slice % _SLICES
        self._totals[index] += 1
        if not failed:
            return False
        self._failures[index] += 1
        total = sum(self._totals)
        if total < self.settings.min_requests or sum(self._failures) < self.settings.failure_ratio * total:
            return False
        self._reset("open")
        self._opened = now
        return True

    def seconds_left(self, now: float) -> float:
        """Until all traffic is allowed again; 0 when closed."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self._opened + 2 * self.settings.open_for - now)

    def _advance(self, now: float) -> None:
        current = int(now * _SLICES / self.settings.window)
        if current == self._slice:
            return
        for passed in range(self._slice + 1, min(current, self._slice + _SLICES) + 1):
            self._totals[passed % _SLICES] = 0
            self._failures[passed % _SLICES] = 0
        self._slice = current

    def _reset(self, state: State) -> None:
        self.state = state
        self._totals = [0] * _SLICES
        self._failures = [0] * _SLICES
