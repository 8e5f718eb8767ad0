"""Serve the API: `python -m async_api`, everything set by environment variables (config.py)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from pydantic import ValidationError

from async_api.config import Settings
from async_api.protocol import Protocol

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def main() -> int:
    """0 after a drained stop, 2 for settings that cannot be used."""
    try:
        settings = Settings()
    except ValidationError as error:
        for wrong in error.errors():
            name = str(wrong["loc"][0]).upper()
            print(f"async_api: {name}: {wrong['msg']}, got {wrong['input']!r}", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        if settings.metrics_port:
            if settings.workers > 1:  # before the workers are made, who take it over
                stack.enter_context(shared_between_workers())
            try:
                _serve_metrics(settings)
            except OSError as error:
                print(f"async_api: METRICS_PORT: {settings.metrics_port}: {error}", file=sys.stderr)
                return 2
        _serve(settings)
    return 0


def _serve_metrics(settings: Settings) -> None:
    from async_api import metrics  # not before: whether it counts in files is decided when it is imported

    metrics.serve(settings.metrics_host, settings.metrics_port)


def _serve(settings: Settings) -> None:
    # uvicorn drains, then raises the signal again for whoever had it before: a drained stop is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "async_api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=Protocol,
        ws="none",  # a request to change to a protocol that is not offered is a request without it
        log_level=settings.log_level,
        access_log=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.drain,
    )


@contextmanager
def shared_between_workers() -> Iterator[None]:
    """A folder for what the workers count, unless the environment names one."""
    if MULTIPROCESS in os.environ:
        yield
        return
    folder = os.environ[MULTIPROCESS] = tempfile.mkdtemp(prefix="payments-metrics-")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
