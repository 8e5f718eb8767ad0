"""A circuit breaker for safe requests that the async backend should answer: in each worker one per endpoint,
and one for the backend as a whole.

Closed: requests pass, and the last `window` seconds are counted. When at least `min_requests` were seen
and `failure_ratio` of them failed, or `consecutive` failed in a row, however slowly they came, it opens:
requests go to the fallback. After `open_for` seconds it lets a share through that grows linearly from none to
all over another `open_for`. A failing ramp opens it again, and so does one that saw failures only; one that
saw a success closes it at its end. If no request has ended by then, because they hang or because there were
none, it goes on with one request in each `open_for` until one ends. Time and randomness are passed in.
"""

from __future__ import annotations

from typing import Final, Literal

from proxy.core.settings import BreakerSettings as Settings

State = Literal["closed", "open", "ramping"]

_SLICES: Final = 10
_NEVER: Final = float("-inf")


class Breaker:
    """Counts in `_SLICES` slices of the window, so that old requests leave it smoothly."""

    __slots__ = (
        "_asked",
        "_failures",
        "_opened",
        "_run",
        "_slice",
        "_succeeded",
        "_totals",
        "settings",
        "state",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: State = "closed"
        self._opened = 0.0
        self._run = 0  # failures since the last success, and since it opened
        self._succeeded = False  # a request, since the state last changed
        self._asked = _NEVER  # when one was let through after a ramp without an outcome
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
        if self.state == "open":
            self._reset("ramping")
        if elapsed >= self.settings.open_for:
            return self._after_ramp(now)
        return random < elapsed / self.settings.open_for

    def _after_ramp(self, now: float) -> bool:
        """The ramp is over: its results decide; if there are none, one request at a time is admitted."""
        if self._run and self._run >= sum(self._totals):
            self._open(now)
            return False
        if self._succeeded:
            self._reset("closed")
            return True
        if now - self._asked < self.settings.open_for:
            return False
        self._asked = now
        return True

    def record(self, failed: bool, now: float) -> bool:
        """Count one finished request; True if this opened the breaker."""
        if self.state == "open":
            return False  # a request from before it opened
        self._advance(now)
        index = self._slice % _SLICES
        self._totals[index] += 1
        if not failed:
            self._run = 0
            self._succeeded = True
            return False
        self._failures[index] += 1
        self._run += 1
        if self._run < self.settings.consecutive and not self._fails_often():
            return False
        self._open(now)
        return True

    def seconds_left(self, now: float) -> float:
        """Until all traffic is allowed again, at the earliest; 0 when closed."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self._opened + 2 * self.settings.open_for - now)

    def _fails_often(self) -> bool:
        total = sum(self._totals)
        enough = total >= self.settings.min_requests
        return enough and sum(self._failures) >= self.settings.failure_ratio * total

    def _open(self, now: float) -> None:
        self._reset("open")
        self._opened = now

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
        self._run = 0
        self._succeeded = False
        self._asked = _NEVER
        self._totals = [0] * _SLICES
        self._failures = [0] * _SLICES
