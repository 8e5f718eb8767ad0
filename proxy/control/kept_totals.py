"""What the workers had counted, on disk in `server.runtime_dir`, for the next control process.

A scrape of a process that began with nothing would see smaller counters than the scrape before it, take that
for a reset, and count once more all that adopted workers had counted before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from proxy.control.kept_file import KeptFile
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
    """The file in `folder`. After a crash of the machine there are no workers whose counts go on."""

    def __init__(self, folder: Path, totals: Callable[[], KeptTotals]) -> None:
        self._file = KeptFile(folder / NAME, MAX_BYTES, durable=False)
        self._totals = totals

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            content = self._content()  # here, because the loop changes what is counted
            await asyncio.to_thread(self._file.write, content)

    def read(self) -> KeptTotals:
        """NOTHING, if there is none that can be read."""
        try:
            return msgspec.msgpack.decode(self._file.read(), type=KeptTotals)
        except FileNotFoundError:
            return NOTHING
        except (OSError, msgspec.DecodeError) as error:
            path = self._file.path
            log.error("%s cannot be read, so counters begin at what the workers say: %s", path, error)
            return NOTHING

    def write(self) -> None:
        self._file.write(self._content())

    def _content(self) -> bytes:
        return msgspec.msgpack.encode(self._totals())
