"""What processes and the whole machine used between two moments, by kind of process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.processes import TICK, cpu_of, resident


class Meter:
    """CPU from its making until `read`, in cores: 1.0 is one core all the time."""

    def __init__(self, kinds: Mapping[str, Sequence[int]]) -> None:
        self._kinds = kinds
        self._start = time.monotonic()
        self._before = self._seconds()
        self._machine = machine()

    def read(self) -> dict[str, float]:
        """Cores by kind; `others` ran here but is not ours; `machine` is all, `cores` what there is."""
        elapsed = max(1e-6, time.monotonic() - self._start)
        after, (busy, total) = self._seconds(), machine()
        cores = {kind: round((after[kind] - self._before[kind]) / elapsed, 4) for kind in self._kinds}
        available = os.cpu_count() or 1
        used = available * (busy - self._machine[0]) / max(1e-6, total - self._machine[1])
        others = max(0.0, used - sum(cores.values()))
        return {**cores, "others": round(others, 4), "machine": round(used, 4), "cores": available}

    def _seconds(self) -> dict[str, float]:
        return {
            kind: sum(used.user + used.system for used in map(cpu_of, pids))
            for kind, pids in self._kinds.items()
        }


def machine() -> tuple[float, float]:
    """Seconds that all cores were busy since boot, and all seconds (proc(5), /proc/stat)."""
    fields = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICK, sum(fields) / TICK


def memory(pids: Sequence[int]) -> int:
    """Resident bytes of these processes and what they started; shared pages are divided among their users."""
    return sum(map(resident, pids))


def sockets() -> int:
    """Bytes of kernel memory in TCP's buffers, and in slabs, of which connections take most here."""
    pages = next(
        line.split()
        for line in Path("/proc/net/sockstat").read_text().splitlines()
        if line.startswith("TCP:")
    )
    slab = next(
        line.split() for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("Slab:")
    )
    return int(pages[pages.index("mem") + 1]) * 4096 + int(slab[1]) * 1024


def overflows() -> int:
    """Connections that this machine's listeners have turned away since boot, as their queues were full.

    Their clients took them for open, and send into the void until the kernel tries again: for up to minutes.
    """
    lines = Path("/proc/net/netstat").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    return int(values[names.index("ListenOverflows")])
