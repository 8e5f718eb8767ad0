"""The attempts to have a request answered, once one has failed: how many there were, and of what kind.

What to do after a failure is decided by `core.resilience.retry`.
"""

from __future__ import annotations

import random

from proxy.core.resilience.retry import Again, backoff
from proxy.core.settings import ASYNC, LEGACY, BackendName, Endpoint, Retries


class Attempts:
    """Made with the first failure: a request that goes well has none."""

    __slots__ = ("fallback_used", "fresh", "here", "retries")

    def __init__(self) -> None:
        self.here = 1  # made at the backend that is asked at present
        self.retries = 0
        self.fallback_used = False
        self.fresh = False  # one died: the next must not meet another dead connection

    def again(self, verdict: Again) -> None:
        """Another one follows."""
        self.here += 1
        if verdict.budgeted:  # the fresh try after a stale connection comes on top
            self.retries += 1
        if verdict.on_fallback:
            self.here = 1
            self.fallback_used = True
            self.fresh = False  # the other backend's connections are as good as ever

    def died(self) -> None:
        """Its connection was dead before anything was sent on it, and another attempt follows."""
        self.here += 1
        self.fresh = True

    def may_fall_back(self, backend: BackendName, endpoint: Endpoint | None) -> bool:
        """Whether there is a backend to fall back on, that has not been asked."""
        if backend != ASYNC or endpoint is None or self.fallback_used:
            return False
        return endpoint.fallback == LEGACY

    def delay(self, settings: Retries) -> float:
        """Seconds before a retry."""
        return backoff(settings, max(1, self.retries), random.random())
