"""The log of the proxy's processes: standard error, one line per event that an operator may have to act on.

For people (`console`) or for machines (`json`: an object per line). Chosen by `strangler serve --log-format`;
children find it in their environment.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Final, Literal

Format = Literal["console", "json"]
FORMATS: Final[tuple[Format, ...]] = ("console", "json")
VARIABLE: Final = "STRANGLER_LOG_FORMAT"

NOISY: Final = ("watchfiles", "uvicorn", "asyncio", "httpx2", "httpcore2", "httpx", "httpcore")


def choose(chosen: Format) -> None:
    """For this process and those that it starts. Call before `configure`."""
    os.environ[VARIABLE] = chosen


def configure(process: str) -> None:
    """Sends everything from INFO up, of our own and of libraries from WARNING, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    machine = os.environ.get(VARIABLE) == "json"
    handler.setFormatter(_Json(process) if machine else _Console(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


class _Console(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING worker 0: text`; the control process leaves out its name."""

    def __init__(self, process: str) -> None:
        prefix = "" if process == "control" else f"{process}: "
        super().__init__(f"%(asctime)s %(levelname)s {prefix}%(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return timestamp(record.created)


class _Json(logging.Formatter):
    """`{"time", "level", "process", "pid", "message"}`, and `exception` where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
