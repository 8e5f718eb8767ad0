"""Sync workers, one request at a time each, behind a proxy that buffers."""

import os
import shutil
import tempfile
from typing import Any

bind = os.environ.get("BIND", "127.0.0.1:5001")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "sync"
timeout = 60  # a statement of years may stream for long
graceful_timeout = 30  # SIGTERM: finish what is being answered
limit_request_line = 8190  # bytes; its most, and these three as in async_api/wire.py
limit_request_fields = 128  # more than the proxy takes, with the lines that it adds
limit_request_field_size = 32 * 1024
forwarder_headers = ""  # by default a client's SCRIPT_NAME moves the path, for the proxy's address is trusted
secure_scheme_headers: dict[str, str] = {}  # by default X-Forwarded-Ssl beside X-Forwarded-Proto is a 400
loglevel = os.environ.get("LOG_LEVEL", "warning")
accesslog = None
control_socket_disable = True

metrics_port = int(os.environ.get("METRICS_PORT") or 0)  # 0: no metrics are served
if metrics_port and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    # Before a worker imports prometheus_client, which decides there where it counts.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder = tempfile.mkdtemp(prefix="legacy-metrics-")
else:
    metrics_folder = ""


served: list[Any] = []


def when_ready(_server: Any) -> None:
    if metrics_port:
        from legacy_flask import metrics

        served.append(metrics.serve(os.environ.get("METRICS_HOST", "127.0.0.1"), metrics_port))


def post_fork(_server: Any, _worker: Any) -> None:
    """The port of the metrics is the master's alone: a worker that outlives it must not hold it."""
    for server in served:
        server.socket.close()


def child_exit(_server: Any, worker: Any) -> None:
    """The gauges of a worker that is gone are not added any more."""
    if metrics_port:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    if metrics_folder:
        shutil.rmtree(metrics_folder, ignore_errors=True)
