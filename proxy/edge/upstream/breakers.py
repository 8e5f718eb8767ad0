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
from proxy.edge.ports import GaveUp


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
        if breaker is not None:
            if not breaker.allows(now, drawn):
                return True  # and the other one has nothing to wait for
            breaker.admit(now)
        whole.admit(now)
        return False

    def answered(self, endpoint: Endpoint | None, status: int) -> None:
        """By async, to the end. A 5xx speaks against the endpoint, but shows that the backend is there."""
        if endpoint is not None and endpoint.safe:
            now = self._loop.time()
            self._whole.record(False, now)
            self._of(endpoint).record(status >= 500, now)

    def failed(self, endpoint: Endpoint | None, seconds: float) -> None:
        """Async could not be reached, or did not answer this, which was asked so many seconds ago."""
        if endpoint is not None and endpoint.safe:
            now = self._loop.time()
            self._whole.record(True, now, now - seconds)
            self._of(endpoint).record(True, now, now - seconds)

    def given_up(self, endpoint: Endpoint | None, gave_up: GaveUp) -> None:
        """A client has left that waited for async.

        If nothing at all came from async meanwhile, that says nothing of this endpoint, so the breaker of
        async as a whole counts it, and any answer ends its run. If others got answers, it may be this
        endpoint that hangs: its own breaker counts those that leave without one answer in between.
        """
        if endpoint is None or not endpoint.safe:
            return
        now = self._loop.time()
        for _ in range(
            min(gave_up.failures, self._whole.settings.consecutive)
        ):  # so many open it at any rate
            self._whole.record(True, now, now - gave_up.waited)
        if gave_up.long:
            self._of(endpoint).gave_up(now, now - gave_up.waited)

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
