"""The control process's log: standard error, one line per event that an operator may have to act on."""

from __future__ import annotations

import logging
import sys
import time

log = logging.getLogger("strangler")


class _Formatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING text`, in UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def configure() -> None:
    """Sends everything from INFO up, of the control process and its libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("watchfiles", "uvicorn", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
