"""The access log: one JSON object per line and request, written by a thread of its own.

The event loop only puts a tuple into a queue. A file that was moved away (logrotate) is noticed within a
second and opened again under its name; SIGUSR1 and SIGHUP open it anew in any case. Fields:
docs/access-log.md.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import Final, NamedTuple

import msgspec

from proxy.core.privacy.sensitive import hide_parameters, hide_shapes, is_secret_parameter
from proxy.core.timestamps import timestamp
from proxy.edge.outcome import Outcome

log = logging.getLogger("strangler.worker")

WAITING: Final = 100_000  # entries; beyond that they are dropped and counted
WAITING_BYTES: Final = 32 * 1024 * 1024  # of them, about
ENTRY: Final = 400  # bytes that an entry takes beside its target
PAUSE: Final = 0.2  # seconds between two writes
BATCH: Final = 500  # entries per write, so that lines of several workers do not mix
STDOUT: Final = 1
MAX_TARGET: Final = 2048  # bytes shown of a request target

MASK: Final = "***"


class AccessEntry(NamedTuple):
    """One request, as the event loop leaves it. `time` in Unix seconds, `seconds` its duration."""

    time: float
    client: str
    method: str | None
    target: bytes
    endpoint: str | None
    backend: str
    reason: str
    status: int
    seconds: float
    trace: str | None = None


class AccessLog:
    """`path` may be "-" for standard output. `dropped` counts what found no place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.dropped = 0
        self._entries: deque[AccessEntry] = deque()
        self._put_bytes = 0  # since the start, by the event loop
        self._taken_bytes = 0  # by the thread: each number has one writer
        self._stop = threading.Event()
        self._fd: int | None = None
        self._anew = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def outcome(self, outcome: Outcome) -> None:
        """A request that went to a backend. Called once per request in the event loop."""
        endpoint = outcome.endpoint
        self._put(
            AccessEntry(
                time.time(),
                outcome.peer,
                outcome.head.method,
                outcome.head.target[:MAX_TARGET],
                None if endpoint is None else endpoint.name,
                outcome.backend,
                outcome.reason,
                outcome.status,
                outcome.seconds,
                outcome.trace,
            )
        )

    def refusal(self, reason: str, status: int) -> None:
        """A request that was answered here; its head may not even have been one."""
        self._put(AccessEntry(time.time(), "", None, b"", None, "proxy", reason, status, 0.0))

    def reopen(self) -> None:
        """Opens the file anew before the next line, whatever has its name by now."""
        self._anew = True

    def close(self) -> None:
        """Lets the thread write what waits and end; `join` waits for that."""
        self._stop.set()

    def join(self, timeout: float = 5.0) -> None:
        self._thread.join(timeout)

    def _put(self, entry: AccessEntry) -> None:
        if len(self._entries) < WAITING and self._put_bytes - self._taken_bytes < WAITING_BYTES:
            self._put_bytes += ENTRY + len(entry.target)
            self._entries.append(entry)
        else:
            self.dropped += 1

    # in the thread

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._write_all()
        self._write_all()
        if self._fd not in (None, STDOUT):
            os.close(self._fd)

    def _write_all(self) -> None:
        while self._entries:
            batch = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            self._taken_bytes += sum(ENTRY + len(each.target) for each in batch)
            try:
                self._open()
                assert self._fd is not None
                data = memoryview(b"".join(map(line, batch)))
                while data:
                    data = data[os.write(self._fd, data) :]
                self._failing = False
            except OSError as error:
                self.dropped += len(batch)
                if not self._failing:
                    log.error("the access log %s cannot be written: %s", self.path, error.strerror)
                self._failing = True
                return

    def _open(self) -> None:
        """Opens the file, again if another or none has its name now."""
        if self.path == "-":
            self._fd = STDOUT
            return
        anew, self._anew = self._anew, False
        if self._fd is not None and not anew and _same(self._fd, self.path):
            return
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def line(entry: AccessEntry) -> bytes:
    """The entry as JSON with a line end."""
    target = masked(entry.target[:MAX_TARGET]).decode("latin-1")
    fields = {
        "time": timestamp(entry.time),
        "client": entry.client or None,
        "method": entry.method,
        "target": target or None,
        "endpoint": entry.endpoint,
        "backend": entry.backend,
        "reason": entry.reason,
        "status": entry.status,
        "duration_ms": round(entry.seconds * 1000, 3),
    }
    if entry.trace is not None:
        fields["trace_id"] = entry.trace
    return msgspec.json.encode(fields) + b"\n"


def masked(target: bytes) -> bytes:
    """A request target without credentials: of a parameter that is named like one, its name only."""
    text = hide_parameters(target.decode("latin-1"), is_secret_parameter, _mask)
    return hide_shapes(text, _mask).encode("latin-1")


def _mask(value: str) -> str:
    return MASK


def _same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
