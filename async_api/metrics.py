"""Prometheus metrics, on a port of their own: the proxy would forward clients to a path of the API's port.

With several workers each writes to files (PROMETHEUS_MULTIPROC_DIR), and the parent adds them up when
scraped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    multiprocess,
    start_http_server,
)

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
LOCAL = CollectorRegistry()
"""Of this process; not the library's own, which tests of both backends would share."""
ProcessCollector(registry=LOCAL)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.8, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "payments_requests_total", "Requests answered.", ["route", "method", "code"], registry=LOCAL
)
SECONDS = Histogram(
    "payments_request_duration_seconds",
    "From request to end of response.",
    ["route"],
    buckets=BUCKETS,
    registry=LOCAL,
)
IN_FLIGHT = Gauge(
    "payments_requests_in_flight", "Requests under way.", multiprocess_mode="livesum", registry=LOCAL
)

POOL_SIZE = Gauge(
    "payments_pool_max_connections", "Connections allowed.", multiprocess_mode="livesum", registry=LOCAL
)
POOL_USED = Gauge(
    "payments_pool_connections_in_use", "Connections lent out.", multiprocess_mode="livesum", registry=LOCAL
)
POOL_WAITING = Gauge(
    "payments_pool_waiting", "Requests that wait for one.", multiprocess_mode="livesum", registry=LOCAL
)
POOL_WAIT = Histogram("payments_pool_wait_seconds", "How long they waited.", buckets=BUCKETS, registry=LOCAL)
UNAVAILABLE = Counter(
    "payments_database_unavailable_total", "Answers with 503 for want of a database.", registry=LOCAL
)

RETRIES = Counter("payments_retries_total", "Attempts after the first.", ["what"], registry=LOCAL)
COLLAPSED = Counter(
    "payments_collapsed_total", "Reads that shared the query of another.", ["what"], registry=LOCAL
)

CACHE = Counter(
    "payments_cache_total", "Look-ups by result: hit, miss, or skipped.", ["what", "result"], registry=LOCAL
)
CACHE_FAILURES = Counter(
    "payments_cache_failures_total", "Calls to Redis that failed or were too slow.", registry=LOCAL
)
CACHE_OPEN = Gauge(
    "payments_cache_breaker_open", "1 while Redis is left alone.", multiprocess_mode="livemax", registry=LOCAL
)
CACHE_OWNED = Gauge(
    "payments_cache_owned",
    "1 while balances and lists may be cached.",
    multiprocess_mode="livemin",
    registry=LOCAL,
)
INVALIDATIONS = Counter(
    "payments_cache_invalidations_total", "Changes taken from the outbox.", registry=LOCAL
)


class _Workers(multiprocess.MultiProcessCollector):
    """All workers' figures. Gauges of one that is gone are dropped: nobody here hears of its end."""

    def collect(self) -> Iterable[Metric]:
        forget_the_dead(Path(os.environ[MULTIPROCESS]))
        return super().collect()  # type: ignore[no-untyped-call, no-any-return]


def forget_the_dead(folder: Path) -> None:
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def serve(host: str, port: int) -> None:
    """In a thread, until the process ends. Raises OSError if the port is taken."""
    registry = LOCAL
    if MULTIPROCESS in os.environ:
        registry = CollectorRegistry()
        _Workers(registry)  # type: ignore[no-untyped-call]
    start_http_server(port, host, registry)
