"""How long to wait before a dead process is started again. For retries of requests, see `retry.backoff`."""

from __future__ import annotations

QUICK = 5.0  # seconds; a worker that lived longer did not die of its start
FIRST = 0.2
LONGEST = 10.0


class Backoff:
    """No delay the first time, or if the worker had run for a while; doubles while workers die young."""

    def __init__(self) -> None:
        self._early_deaths = 0

    def after(self, uptime: float) -> float:
        """Seconds to wait after a worker that lived `uptime` seconds. Never gives up."""
        if uptime >= QUICK:
            self._early_deaths = 0
            return 0.0
        self._early_deaths += 1
        if self._early_deaths == 1:
            return 0.0
        return float(min(LONGEST, FIRST * 2.0 ** min(self._early_deaths - 2, 16)))
