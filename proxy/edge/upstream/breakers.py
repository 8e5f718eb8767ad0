"""The breakers of one worker: one for async as a whole, and one for each endpoint that async has answered.

They keep requests from async while it fails; what they count are safe requests of listed endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.core.resilience.breaker import Breaker
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY, Endpoint
from proxy.core.wire.messages import OpenBreaker


class Breakers:
    """Told of each answer and failure; asked before each request that is meant for async."""

    __slots__ = ("_endpoints", "_loop", "_whole")

    def __init__(self, loop: asyncio.AbstractEventLoop, snapshot: Snapshot) -> None:
        self._loop = loop
        self._whole = Breaker(snapshot.breaker)  # of async as a whole
        self._endpoints: dict[str, Breaker] = {}

    def apply(self, snapshot: Snapshot, previous: Snapshot) -> None:
        """Those whose settings are as they were stay as they are."""
        moved = snapshot.backend(ASYNC) != previous.backend(ASYNC)  # what failed is no longer asked
        if moved or snapshot.breaker != self._whole.settings:
            self._whole = Breaker(snapshot.breaker)
        if self._endpoints:
            kept = {endpoint.name: endpoint.breaker for endpoint in snapshot.endpoints}
            self._endpoints = {
                name: breaker
                for name, breaker in self._endpoints.items()
                if kept.get(name) == breaker.settings
            }

    def divert(self, endpoint: Endpoint, random: Callable[[], float]) -> bool:
        """Whether a breaker keeps this request, meant for async, from it."""
        if not endpoint.safe or endpoint.fallback != LEGACY:
            return False
        whole = self._whole
        breaker = self._endpoints.get(endpoint.name)
        if whole.state == "closed" and (breaker is None or breaker.state == "closed"):
            return False
        now, drawn = self._loop.time(), random()  # the same for both, or two ramps would be one squared
        if not whole.allows(now, drawn):
            return True
        return breaker is not None and not breaker.allows(now, drawn)

    def answered(self, endpoint: Endpoint | None, status: int) -> None:
        """By async, to the end. A 5xx speaks against the endpoint, but shows that the backend is there."""
        if endpoint is not None and endpoint.safe:
            now = self._loop.time()
            self._whole.record(False, now)
            self._of(endpoint).record(status >= 500, now)

    def failed(self, endpoint: Endpoint | None) -> None:
        """Async could not be reached, or did not answer this."""
        if endpoint is not None and endpoint.safe:
            now = self._loop.time()
            self._whole.record(True, now)
            self._of(endpoint).record(True, now)

    def hung(self, endpoint: Endpoint | None, failures: int) -> None:
        """So many clients gave up waiting while nothing at all came from async, this one as the last.

        That says nothing of this endpoint, so the breaker of async as a whole counts it: any answer ends its
        run.
        """
        if endpoint is not None and endpoint.safe:
            now = self._loop.time()
            for _ in range(min(failures, self._whole.settings.consecutive)):  # so many open it at any rate
                self._whole.record(True, now)

    def _of(self, endpoint: Endpoint) -> Breaker:
        breaker = self._endpoints.get(endpoint.name)
        if breaker is None:
            breaker = self._endpoints[endpoint.name] = Breaker(endpoint.breaker)
        return breaker

    def open(self, now: float) -> list[OpenBreaker]:
        """Those that are not closed; that of the whole backend has the backend's name."""
        found = [(str(ASYNC), self._whole), *self._endpoints.items()]
        return [
            OpenBreaker(name, breaker.state, round(breaker.seconds_left(now)))
            for name, breaker in found
            if breaker.state != "closed"
        ]
