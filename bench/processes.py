"""Ordinary child processes on chosen cores, and what the kernel says they used."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something the bench needs is missing or did not start; the message says what to do."""


class Cores(NamedTuple):
    """Where things run: the proxy alone on one core, load generator and upstream on another."""

    proxy: frozenset[int]
    load: frozenset[int]


class Cpu(NamedTuple):
    """Processor time in seconds."""

    user: float
    system: float

    def minus(self, earlier: Cpu) -> Cpu:
        return Cpu(self.user - earlier.user, self.system - earlier.system)


@dataclass
class Child:
    """A started process; its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, grace: float = 3.0) -> None:
        """SIGTERM, then SIGKILL for it and whatever it had started."""
        family = {pid: started_at(pid) for pid in descendants(self.process.pid)}
        self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid, started in family.items():
            if started is not None and started_at(pid) == started:  # still that process, not a new one
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def failure(self) -> str:
        tail = self.log.read_text(errors="replace").strip().splitlines()[-8:]
        return f"{self.name} did not start:\n  " + "\n  ".join(tail or ["(no output)"])


def spawn(
    name: str,
    argv: Sequence[str],
    directory: Path,
    cores: frozenset[int],
    environment: Mapping[str, str] | None = None,
) -> Child:
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            # The bench has no threads, so code between fork and exec is safe; pinning there also pins
            # every thread and process that the child starts.
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    return Child(name, process, log)


def choose_cores(proxy: int) -> Cores:
    """`proxy` cores for the proxy, the next one for everything else."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise BenchError("the bench needs two cores: one for the proxy, one for load and upstream")
    ours = frozenset(available[-proxy:])
    rest = [core for core in available if core not in ours]
    return Cores(ours, frozenset(rest[-1:] or available[:1]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(child: Child, port: int, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(child.failure())


def descendants(pid: int) -> list[int]:
    """Processes started by `pid` and by its children, from /proc (needs CONFIG_PROC_CHILDREN, as usual)."""
    found: list[int] = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found


def started_at(pid: int) -> str | None:
    """Clock ticks from boot to its start, which with the pid names a process for good; None if it is gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]


def cpu_of(pid: int) -> Cpu:
    """What this process and its descendants used so far. Resolution: one tick, usually 10 ms."""
    user = system = 0.0
    for member in (pid, *descendants(pid)):
        fields = _stat(member)
        if fields is not None:
            user += int(fields[11]) / TICK
            system += int(fields[12]) / TICK
    return Cpu(user, system)


def resident(pid: int) -> int:
    """Resident bytes of this process and its descendants, shared pages counted once (PSS)."""
    total = 0
    for member in (pid, *descendants(pid)):
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024


def _children(pid: int) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            yield from map(int, (task / "children").read_text().split())
        except OSError:
            continue


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on (proc(5) field 3 is index 0); None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
