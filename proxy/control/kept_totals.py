"""What the workers had counted, on disk in `server.runtime_dir`, for the next control process.

A scrape of a process that began with nothing would see smaller counters than the scrape before it, take that
for a reset, and count once more all that adopted workers had counted before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from proxy import owned
from proxy.control.log import log
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Stats

NAME: Final = "totals"
INTERVAL: Final = 2.0  # seconds: as much is lost of a worker that dies together with the control process
MAX_BYTES: Final = 256 * 1024 * 1024


class KeptTotals(msgspec.Struct, frozen=True):
    """`workers` by incarnation, each since it started; `base` is the sum of those that are long gone."""

    base: Stats
    workers: Mapping[str, Stats]


NOTHING: Final = KeptTotals(EMPTY, {})


class TotalsKeeper:
    """The file in `folder`. A fault is logged once, and then when it works again."""

    def __init__(self, folder: Path, totals: Callable[[], KeptTotals]) -> None:
        self._path = folder / NAME
        self._totals = totals
        self._written = b""
        self._failing = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self.write)

    def read(self) -> KeptTotals:
        """NOTHING, if there is none that can be read."""
        try:
            with os.fdopen(owned.open_own(self._path, os.O_RDONLY), "rb") as file:
                return msgspec.msgpack.decode(file.read(MAX_BYTES), type=KeptTotals)
        except FileNotFoundError:
            return NOTHING
        except (OSError, msgspec.DecodeError) as error:
            log.error("%s cannot be read, so counters begin at what the workers say: %s", self._path, error)
            return NOTHING

    def write(self) -> None:
        content = msgspec.msgpack.encode(self._totals())
        if content == self._written:
            return
        try:
            owned.replace(self._path, content)
        except OSError as error:
            if not self._failing:
                log.error("%s cannot be written: %s", self._path, error)
            self._failing = True
            return
        if self._failing:
            log.info("%s is written again", self._path)
        self._failing, self._written = False, content
