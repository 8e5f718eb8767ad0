"""A worker's counters: totals since its start, from which the control process computes rates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

from proxy.core.evidence.stats import BOUNDS, bucket
from proxy.core.routing.unlisted import UNLISTED, Unlisted
from proxy.core.settings import ASYNC, Endpoint
from proxy.core.traffic.ledger import shape
from proxy.core.wire.messages import Labelled, Latency, Requests
from proxy.edge.outcome import Outcome

log = logging.getLogger("strangler.worker")

LOUD: Final = 10  # violations of a kind that get a line each; then every thousandth


class Series:
    """What is counted for one endpoint and backend."""

    __slots__ = ("counts", "requests", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)  # a histogram over BOUNDS
        self.seconds = 0.0
        self.requests: dict[str, dict[int, int]] = {}  # reason, status


class Counters:
    """Plain dictionaries keyed by one label each: no tuple is made and compared for a request."""

    __slots__ = (
        "_reported",
        "_reported_seconds",
        "_series",
        "dropped",
        "early",
        "errors",
        "keyed",
        "left",
        "own",
        "retries",
        "unknown",
        "unlisted",
        "violations",
    )

    def __init__(self) -> None:
        self._series: dict[str, dict[str, Series]] = {}  # backend, endpoint
        self.errors: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.keyed: Counter[tuple[str, str]] = Counter()
        self.unlisted = Unlisted()
        self.own: Counter[tuple[str, str, str, int]] = Counter()  # of the requests, by the proxy itself
        self.left: Counter[tuple[str, str, str]] = Counter()  # of the requests, by clients without any need
        self.early: Counter[tuple[str, str, str]] = Counter()  # after a short wait
        self.violations: Counter[tuple[str, str]] = Counter()  # what, ""
        self._reported: dict[tuple[str, str, str, int], int] = {}
        self._reported_seconds: dict[tuple[str, str], float] = {}

    def observe_outcome(self, outcome: Outcome) -> None:
        """One request that has ended."""
        endpoint, backend, reason, status = outcome.endpoint, outcome.backend, outcome.reason, outcome.status
        if endpoint is None:
            self.count_unlisted(outcome.head.method, outcome.head.target, backend)
        name = named(endpoint)
        self.observe(name, backend, reason, status, outcome.seconds)
        if outcome.is_own:
            self.own[name, backend, reason, status] += 1

    def observe(self, endpoint: str, backend: str, reason: str, status: int, seconds: float) -> None:
        """One finished request; `seconds` from its complete head to its last response byte.

        The time of one that legacy answered after async had failed is async's: most of it was spent there.
        """
        series = self._count(endpoint, backend, reason, status)
        if reason == "fallback":
            series = self._of(endpoint, ASYNC)
        series.counts[bucket(seconds)] += 1
        series.seconds += seconds

    def refused(self, endpoint: str, reason: str, status: int) -> None:
        """A request that was answered here, and has no latency."""
        self._count(endpoint, "proxy", reason, status)

    def _count(self, endpoint: str, backend: str, reason: str, status: int) -> Series:
        series = self._of(endpoint, backend)
        statuses = series.requests.get(reason)
        if statuses is None:
            statuses = series.requests[reason] = {}
        statuses[status] = statuses.get(status, 0) + 1
        return series

    def _of(self, endpoint: str, backend: str) -> Series:
        endpoints = self._series.get(backend)
        if endpoints is None:
            endpoints = self._series[backend] = {}
        series = endpoints.get(endpoint)
        if series is None:
            series = endpoints[endpoint] = Series()
        return series

    @property
    def requests(self) -> Counter[tuple[str, str, str, int]]:
        """By endpoint, backend, reason and status."""
        return Counter(
            {
                (endpoint, backend, reason, status): count
                for backend, endpoints in self._series.items()
                for endpoint, series in endpoints.items()
                for reason, statuses in series.requests.items()
                for status, count in statuses.items()
            }
        )

    def count_unlisted(self, method: str, target: bytes, backend: str) -> None:
        """A request that no endpoint matched, by the endpoint that it could be."""
        self.unlisted.count(shape(method, target), backend)

    def count_error(self, source: str, kind: str) -> None:
        """An answer of our own, or a connection that was ended, for a fault of `source`."""
        self.errors[source, kind] += 1

    def count_leaving(self, endpoint: Endpoint | None, backend: str, reason: str, *, early: bool) -> None:
        """A client that left, which tells little about the backend: after a short wait if `early`, otherwise
        at once, or while its answer was coming.
        """
        (self.early if early else self.left)[named(endpoint), backend, reason] += 1

    def count_retry(self, endpoint: Endpoint | None, why: str) -> None:
        """Another attempt at a request."""
        self.retries[named(endpoint), why] += 1

    def count_unknown(self, endpoint: Endpoint | None) -> None:
        """A request that may or may not have been executed."""
        self.unknown[named(endpoint), ""] += 1

    def count_keyed(self, endpoint: Endpoint, result: str) -> None:
        """What became of an idempotency key."""
        self.keyed[endpoint.name, result] += 1

    def violated(self, what: str, where: str) -> None:
        """A rule that holds by construction did not: whoever calls ends the connection concerned."""
        self.violations[what, ""] += 1
        count = self.violations[what, ""]
        if count <= LOUD or count % 1000 == 0:
            log.critical("fault in the proxy, please report it: %s (number %d) at %s", what, count, where)

    def request_rows(self, *, changed: bool) -> list[Requests]:
        """All, or those that `changed` since they were asked for before."""
        before = self._reported if changed else {}
        self._reported = self.requests
        return [Requests(*key, count) for key, count in self._reported.items() if before.get(key) != count]

    def latency_rows(self, *, changed: bool) -> list[Latency]:
        before = self._reported_seconds if changed else {}
        now: dict[tuple[str, str], float] = {}
        found = []
        for backend, endpoints in self._series.items():
            for endpoint, series in endpoints.items():
                now[endpoint, backend] = series.seconds
                if series.seconds and before.get((endpoint, backend)) != series.seconds:
                    found.append(Latency(endpoint, backend, list(series.counts), series.seconds))
        self._reported_seconds = now
        return found


def rows(counter: Mapping[tuple[str, str], int]) -> list[Labelled]:
    return [Labelled(*pair, count) for pair, count in counter.items()]


def named(endpoint: Endpoint | None) -> str:
    """As metrics name it."""
    return UNLISTED if endpoint is None else endpoint.name
