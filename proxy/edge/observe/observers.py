"""Passes the outcome of each request to the counters, and to the access log, traces and comparer if they are
enabled."""

from __future__ import annotations

import asyncio

from proxy.core.http1.grammar import Malformed
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.unlisted import UNLISTED
from proxy.edge.observe import tee
from proxy.edge.observe.access_log import AccessLog
from proxy.edge.observe.counters import Counters
from proxy.edge.observe.tee import Tee
from proxy.edge.observe.tracing import Tracer
from proxy.edge.outcome import Outcome


class Observers:
    """Of one worker."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        counters: Counters,
        samples: str,
        tracer: Tracer | None,
    ) -> None:
        """`samples` is the path of the comparer's socket; "": nothing is compared."""
        self.counters = counters
        self.tracer = tracer
        self.observed = 0
        self.access_log = _access_log(snapshot)
        self.tee: Tee | None = None
        self._loop = loop
        self._samples = samples
        self._set_tee(snapshot)

    def apply(self, snapshot: Snapshot, previous: Snapshot) -> None:
        """From the next request on."""
        if snapshot.server.access_log != previous.server.access_log:
            self.close_access_log()
            self.access_log = _access_log(snapshot)
        self._set_tee(snapshot)

    def _set_tee(self, snapshot: Snapshot) -> None:
        if not self._samples or not tee.wanted(snapshot):
            if self.tee is not None:
                self.tee.close()
            self.tee = None
        elif self.tee is None:
            self.tee = Tee(self._loop, self._samples, self.counters.dropped)

    def observe(self, outcome: Outcome) -> None:
        """The one place where a request's outcome is told."""
        self.observed += 1
        self.counters.observe_outcome(outcome)
        if self.access_log is not None:
            self.access_log.outcome(outcome)
        if self.tee is not None and outcome.endpoint is not None:
            self.tee.offer(outcome, outcome.endpoint)

    def observe_refusal(self, reason: str, error: Malformed) -> None:
        """A request that was answered here, before any backend was chosen."""
        self.counters.refused(UNLISTED, reason, error.status)
        self.counters.count_error("client", error.kind)
        if self.access_log is not None:
            self.access_log.refusal(reason, error.status)

    def close_access_log(self, *, wait: bool = False) -> None:
        """Lets its thread write what waits and end; `wait` for it, a few seconds at most."""
        if self.access_log is not None:
            self.access_log.close()
            if wait:
                self.access_log.join()

    def count_dropped_lines(self) -> None:
        """Those that the access log had no place for."""
        log = self.access_log
        if log is not None and log.dropped:
            dropped, log.dropped = log.dropped, 0
            self.counters.dropped["access_log", "not written"] += dropped


def _access_log(snapshot: Snapshot) -> AccessLog | None:
    path = snapshot.server.access_log
    return None if path is None else AccessLog(path)
