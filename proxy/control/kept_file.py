"""One file in `server.runtime_dir` that is written over and over, for the next control process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from proxy import owned
from proxy.control.log import log


class KeptFile:
    """A fault of writing is logged once, and then when it works again. Any thread may write.

    `durable`: it has to survive the machine, and not only the process, so a write returns when it is on disk.
    """

    def __init__(self, path: Path, limit: int, *, durable: bool) -> None:
        self.path = path
        self._limit = limit
        self._durable = durable
        self._lock = threading.Lock()
        self._written = b""
        self._failing = False

    def read(self) -> bytes:
        """At most `limit` bytes. Raises OSError."""
        with os.fdopen(owned.open_own(self.path, os.O_RDONLY), "rb") as file:
            return file.read(self._limit)

    def write(self, content: bytes) -> None:
        """Whole or not at all; nothing if it is what was written last."""
        with self._lock:
            if content != self._written:
                self._write(content)

    def _write(self, content: bytes) -> None:
        try:
            owned.replace(self.path, content, durable=self._durable)
        except OSError as error:
            if not self._failing:
                log.error("%s cannot be written: %s", self.path, error)
            self._failing = True
            return
        if self._failing:
            log.info("%s is written again", self.path)
        self._failing, self._written = False, content
