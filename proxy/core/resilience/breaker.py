"""A circuit breaker for safe requests that the async backend should answer: in each worker one per endpoint,
and one for the backend as a whole.

Closed: requests pass, and the last `window` seconds are counted. It opens when at least `min_requests` were
seen and `failure_ratio` of them failed; when `consecutive` failed in a row, however slowly they came; or when
`give_ups` clients in a row, over SPAN seconds, waited in vain and left. Then requests go to the fallback.

After `open_for` seconds one request is let through, and only its end decides: if it fails, or its client
gives up, the breaker opens again; if it succeeds, a share that grows linearly from none to all over another
`open_for` follows. While such a request has no end, one more is let through in each `open_for`. So a backend
that hangs costs one request in that time. In the ramp no more requests are under way than have succeeded
since it opened, and failures open the breaker again at once unless they are less than TOLERATED. At its end
the ramp closes the breaker, unless none of its requests has ended. Time and randomness are passed in.
"""

from __future__ import annotations

from typing import Final, Literal

from proxy.core.settings import BreakerSettings as Settings

State = Literal["closed", "open", "ramping"]

_SLICES: Final = 10
_NEVER: Final = float("-inf")
SPAN = 5.0  # seconds over which clients must have given up, without a success. Not Final: tests shorten it
TOLERATED: Final = 0.1  # share of the requests of a ramp that may fail; so none of the first nine may


class Breaker:
    """Counts in `_SLICES` slices of the window, so that old requests leave it smoothly."""

    __slots__ = (
        "_admitted",
        "_asked",
        "_began",
        "_failures",
        "_gave_up",
        "_opened",
        "_passed",
        "_ramp",
        "_run",
        "_slice",
        "_totals",
        "_under_way",
        "settings",
        "state",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: State = "closed"
        self._opened = 0.0
        self._run = 0  # failures since the last success, and since it opened
        self._gave_up = 0  # clients that left after they had waited in vain, in a row
        self._began = 0.0  # when the first of those began to wait
        self._asked = _NEVER  # when one was last let through, since it opened
        self._ramp = _NEVER  # when the ramp began; never: no request has passed since it opened
        self._admitted = False  # a request, in the ramp
        self._passed = 0  # successes since it opened
        self._under_way = 0  # let through in the ramp, without an end so far
        self._slice = 0
        self._totals = [0] * _SLICES
        self._failures = [0] * _SLICES

    def allows(self, now: float, random: float) -> bool:
        """Whether a request may go to async now; `random` in [0, 1) decides during the ramp. `admit` follows
        if it does go there.
        """
        if self.state == "closed":
            return True
        if now - self._opened < self.settings.open_for:
            return False
        if self.state == "open":
            self._reset("ramping")
        if self._ramp == _NEVER:
            return now - self._asked >= self.settings.open_for
        share = (now - self._ramp) / self.settings.open_for
        if share < 1:
            return random < share and self._under_way < self._passed
        if self._admitted and self._passed == 1:  # all of them hang
            self._ramp = _NEVER
            return now - self._asked >= self.settings.open_for
        self._reset("closed")
        return True

    def admit(self, now: float) -> None:
        """A request that `allows` has let through goes to async."""
        if self.state == "ramping":
            self._asked = now
            self._under_way += 1
            self._admitted = True

    def record(self, failed: bool, now: float, began: float | None = None) -> bool:
        """Count one finished request; True if this opened the breaker. `began`: when it began, if it is known
        and failed: one that began before the breaker opened tells nothing any more.
        """
        if self.state == "open":
            return False  # a request from before it opened
        if self.state == "ramping":
            return self._record_ramping(failed, now, began)
        self._advance(now)
        index = self._slice % _SLICES
        self._totals[index] += 1
        if not failed:
            self._run = 0
            self._gave_up = 0
            return False
        self._failures[index] += 1
        self._run += 1
        if self._run < self.settings.consecutive and not self._fails_often():
            return False
        self._open(now)
        return True

    def gave_up(self, now: float, began: float) -> bool:
        """A client that began to wait at `began` has left, and that speaks against the endpoint; True if this
        opened the breaker.
        """
        if not self.settings.give_ups or self.state == "open":
            return False
        if self.state == "ramping":
            return self._record_ramping(True, now, began)
        if not self._gave_up:
            self._began = began
        self._gave_up += 1
        if self._gave_up < self.settings.give_ups or now - self._began < SPAN:
            return False
        self._open(now)
        return True

    def seconds_left(self, now: float) -> float:
        """Until all traffic is allowed again, at the earliest; 0 when closed."""
        if self.state == "closed":
            return 0.0
        open_for = self.settings.open_for
        if self._ramp != _NEVER:
            return max(0.0, self._ramp + open_for - now)
        if self.state == "ramping":
            return open_for  # the first request has no end yet
        return max(0.0, self._opened + 2 * open_for - now)

    def _record_ramping(self, failed: bool, now: float, began: float | None) -> bool:
        if failed and began is not None and began < self._opened:
            return False
        if self._under_way:
            self._under_way -= 1
        if failed:
            self._run += 1
            if self._ramp == _NEVER or self._run >= TOLERATED * (self._run + self._passed):
                self._open(now)
                return True
            return False
        self._passed += 1
        if self._ramp == _NEVER:
            self._ramp = now
            self._passed = 1
            self._under_way = 0
            self._admitted = False
        return False

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
        self._gave_up = 0
        self._asked = _NEVER
        self._ramp = _NEVER
        self._admitted = False
        self._passed = 0
        self._under_way = 0
        self._totals = [0] * _SLICES
        self._failures = [0] * _SLICES
