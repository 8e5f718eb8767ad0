"""Serve the API: `python -m async_api`, everything set by environment variables (config.py)."""

from __future__ import annotations

import signal
import sys

import uvicorn
from pydantic import ValidationError

from async_api.config import Settings


def main() -> int:
    """0 after a drained stop, 2 for settings that cannot be used."""
    try:
        settings = Settings()
    except ValidationError as error:
        for wrong in error.errors():
            name = str(wrong["loc"][0]).upper()
            print(f"async_api: {name}: {wrong['msg']}, got {wrong['input']!r}", file=sys.stderr)
        return 2
    # uvicorn drains, then raises the signal again for whoever had it before: a drained stop is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "async_api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        log_level=settings.log_level,
        access_log=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.drain,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
