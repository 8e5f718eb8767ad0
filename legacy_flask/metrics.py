"""Prometheus metrics of gunicorn's workers, added up by the master on a port of their own.

The proxy would forward clients to a path of the API's port. Each worker counts in files
(PROMETHEUS_MULTIPROC_DIR, set by gunicorn.conf.py); without METRICS_PORT nothing is counted for anybody.
"""

from __future__ import annotations

import os
import time
from wsgiref.simple_server import WSGIServer

from flask import Flask, Response, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    multiprocess,
    start_http_server,
)
from sqlalchemy import Engine, event

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
LOCAL = CollectorRegistry()
"""Of this process; not the library's own, which tests of both backends would share."""
ProcessCollector(registry=LOCAL)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.8, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "payments_requests_total", "Requests answered.", ["route", "method", "code"], registry=LOCAL
)
SECONDS = Histogram(
    "payments_request_duration_seconds", "From request to answer.", ["route"], buckets=BUCKETS, registry=LOCAL
)
IN_FLIGHT = Gauge(
    "payments_requests_in_flight", "Workers that are busy.", multiprocess_mode="livesum", registry=LOCAL
)
WORKERS = Gauge("payments_workers", "Workers that run.", multiprocess_mode="livesum", registry=LOCAL)

POOL_SIZE = Gauge(
    "payments_pool_max_connections", "Connections allowed.", multiprocess_mode="livesum", registry=LOCAL
)
POOL_USED = Gauge(
    "payments_pool_connections_in_use", "Connections lent out.", multiprocess_mode="livesum", registry=LOCAL
)
UNAVAILABLE = Counter(
    "payments_database_unavailable_total", "Answers with 503 for want of a database.", registry=LOCAL
)


def init_app(app: Flask, engine: Engine, pool_max: int) -> None:
    """If METRICS_PORT is set."""
    if not os.environ.get("METRICS_PORT"):
        return
    WORKERS.set(1)
    POOL_SIZE.set(pool_max)
    event.listen(engine, "checkout", lambda *_: POOL_USED.inc())
    event.listen(engine, "checkin", lambda *_: POOL_USED.dec())
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    IN_FLIGHT.inc()


def _end(response: Response) -> Response:
    IN_FLIGHT.dec()
    route = request.url_rule.rule if request.url_rule else "none"
    route = route.replace("<", "{").replace(">", "}")
    SECONDS.labels(route).observe(time.perf_counter() - g.began)
    REQUESTS.labels(route, request.method if request.url_rule else "any", str(response.status_code)).inc()
    if response.status_code == 503 and not route.startswith("/quotes"):
        UNAVAILABLE.inc()
    return response


def serve(host: str, port: int) -> WSGIServer:
    """In a thread, until the process ends. Raises OSError if the port is taken."""
    registry = LOCAL
    if MULTIPROCESS in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server, _thread = start_http_server(port, host, registry)
    return server
