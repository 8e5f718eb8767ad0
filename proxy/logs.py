"""The log of the proxy's processes: standard error, one line for each event that may need an operator's
action.

The format is `console` for people, or `json` (one object per line), chosen by `strangler serve
--log-format`. Child processes find it in their environment, as they do the level: `debug` adds a line for
each state change of a connection, a request or an idempotency key.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, TextIO

from proxy.core.timestamps import timestamp

Format = Literal["console", "json"]
FORMATS: Final[tuple[Format, ...]] = ("console", "json")
VARIABLE: Final = "STRANGLER_LOG_FORMAT"
Level = Literal["info", "debug"]
LEVELS: Final[tuple[Level, ...]] = ("info", "debug")
LEVEL_VARIABLE: Final = "STRANGLER_LOG_LEVEL"
OURS: Final = "strangler"  # begins the names of our own loggers

INTERVAL: Final = 10.0  # seconds for which lines of one kind are counted
LINES: Final = 100  # of one kind in that time
TRACEBACKS: Final = 5
KINDS: Final = 256
KIND: Final = 60  # characters of a message, before its figures are put in, that make its kind

NOISY: Final = ("watchfiles", "uvicorn", "asyncio", "httpx2", "httpcore2", "httpx", "httpcore")


def choose(chosen: Format, level: Level | None = None) -> None:
    """For this process and those that it starts. Call before `configure`. No `level`: as it is."""
    os.environ[VARIABLE] = chosen
    if level is not None:
        os.environ[LEVEL_VARIABLE] = level


def configure(process: str) -> None:
    """Sends everything from INFO up, of our own and of libraries from WARNING, to standard error."""
    handler = _Bounded(sys.stderr)
    machine = os.environ.get(VARIABLE) == "json"
    handler.setFormatter(_Json(process) if machine else _Console(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    debug = os.environ.get(LEVEL_VARIABLE) == "debug"
    logging.getLogger(OURS).setLevel(logging.DEBUG if debug else logging.NOTSET)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Kind:
    """Lines that say the same of different things, since `begun`."""

    __slots__ = ("begun", "last", "left_out", "said")

    def __init__(self, now: float) -> None:
        self.begun = now
        self.said = 0
        self.left_out = 0
        self.last: logging.LogRecord | None = None


class _Bounded(logging.StreamHandler[TextIO]):
    """Leaves warnings and errors of one kind out once there were many, and says later how many.

    Whoever can make the proxy fail must not be able to fill its disk.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()  # oldest first

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        self._end(now - INTERVAL)
        if record.levelno < logging.WARNING:
            super().emit(record)
            return
        name = (record.name, str(record.msg).partition("\n")[0][:KIND])
        if name not in self._kinds:
            if len(self._kinds) >= KINDS:
                self._say(self._kinds.popitem(last=False)[1])
            self._kinds[name] = _Kind(now)
        kind = self._kinds[name]
        if kind.said < (TRACEBACKS if record.exc_info or "\n" in str(record.msg) else LINES):
            kind.said += 1
            super().emit(record)
        else:
            kind.left_out += 1
            kind.last = record

    def close(self) -> None:
        self._end(float("inf"))
        super().close()

    def _end(self, before: float) -> None:
        """Forgets what began before this moment, and says what was left out of it."""
        while self._kinds:
            name, kind = next(iter(self._kinds.items()))
            if kind.begun > before:
                return
            del self._kinds[name]
            self._say(kind)

    def _say(self, kind: _Kind) -> None:
        last = kind.last
        if last is not None:
            text = last.getMessage().partition("\n")[0]
            more = "suppressed %d more lines like: %s"
            args = (kind.left_out, text)
            super().emit(logging.LogRecord(last.name, last.levelno, "", 0, more, args, None))


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
