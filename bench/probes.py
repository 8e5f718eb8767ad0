"""Measurements of another kind than requests per second: each brings a few named figures per target."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.configs import JSON
from bench.load import Recipe, wrk
from bench.processes import BenchError, Cores, cpu_of, descendants, resident
from bench.targets import APT, Target

Figures = dict[str, float]
IDLE = 3_000
CONNECTIONS = 64


@dataclass(frozen=True)
class Probe:
    """`measure` gets the target, its cores and the length of a round in seconds."""

    name: str
    title: str
    measure: Callable[[Target, Cores, int], Figures]
    once: bool = False  # repeating tells nothing new


def open_loop(rate: int) -> Probe:
    """The same load goes to the upstream itself right before, so that it is plain what the proxy adds."""

    def measure(target: Target, cores: Cores, seconds: int) -> Figures:
        straight = _due(rate, target.name, target.upstream, cores, seconds)
        before = cpu_of(target.child.process.pid)
        figures = _due(rate, target.name, target.port, cores, seconds)
        used = cpu_of(target.child.process.pid).minus(before)
        return {
            **figures,
            "straight p99 ms": straight["p99 ms"],
            "added p99 ms": figures["p99 ms"] - straight["p99 ms"],
            "core %": 100 * (used.user + used.system) / seconds,
        }

    return Probe(
        f"rate-{rate}",
        f"open loop, {rate:,} requests/s over {CONNECTIONS} connections, waiting counted",
        measure,
    )


def _due(rate: int, name: str, port: int, cores: Cores, seconds: int) -> Figures:
    """Requests at times that do not depend on the answers, from a process of its own on the load's cores."""
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores.load)), sys.executable, "-m", "bench.openloop"]
    options = {"port": port, "rate": rate, "connections": CONNECTIONS, "seconds": seconds}
    argv = [*pinned, *(f"--{option}={value}" for option, value in options.items())]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if result.returncode:
        raise BenchError(f"{name}: open-loop load failed: {result.stderr.strip()}")
    figures: Figures = json.loads(result.stdout)
    return figures


def syscalls(target: Target, cores: Cores, seconds: int) -> Figures:
    """System calls per request of all of the target's processes. strace slows them, it does not add any."""
    if shutil.which("strace") is None:
        raise BenchError(f"strace not found; on Debian: apt-get install {APT['strace']}")
    family = [target.child.process.pid, *descendants(target.child.process.pid)]
    with tempfile.NamedTemporaryFile("r") as summary:
        argv = ["strace", "-f", "-c", "-U", "calls,name", "-o", summary.name]
        tracer = subprocess.Popen([*argv, *(f"-p{pid}" for pid in family)], stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_traced(family, tracer)
            load = wrk(target.port, Recipe.fixed(), CONNECTIONS, 2, cores)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=10)
        counted = {name: int(calls) for calls, name in re.findall(r"^\s*(\d+) (\w+)$", summary.read(), re.M)}
    counted.pop("total", None)
    each = 1 / max(1, load.requests)
    top = sorted(counted.items(), key=lambda item: -item[1])[:4]
    return {"total": sum(counted.values()) * each, **{name: calls * each for name, calls in top}}


def idle_memory(target: Target, cores: Cores, seconds: int) -> Figures:
    """Resident memory per connection that was served once and stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * IDLE + 100)), hard))
    pid = target.child.process.pid
    request = f"GET /resource7/1 HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nx-user-id: u\r\n\r\n".encode()
    before = resident(pid)
    with ExitStack() as stack:
        for _ in range(IDLE):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", target.port), 10))
            sock.sendall(request)
            _read_answer(sock, target.name)
        time.sleep(1)  # upstream connections of this burst are closed or pooled by now
        after = resident(pid)
    return {"KiB per connection": (after - before) / IDLE / 1024, "MiB before": before / 2**20}


def _read_answer(sock: socket.socket, name: str) -> None:
    received = b""
    while not received.endswith(JSON.encode()):
        data = sock.recv(65536)
        if not data:
            raise BenchError(f"{name} closed an idle connection after {received[:80]!r}")
        received += data


def _wait_until_traced(family: list[int], tracer: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 5
    while not all(re.search(r"^TracerPid:\s+[1-9]", _status(pid), re.M) for pid in family):
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            raise BenchError(f"strace: {tracer.stderr.read().strip()}")
        if time.monotonic() > deadline:
            raise BenchError("strace did not attach within 5 s")
        time.sleep(0.05)


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        *(open_loop(rate) for rate in (500, 1000, 2000, 4000, 8000)),
        Probe("syscalls", "system calls per request, 64 connections", syscalls, once=True),
        Probe("idle", f"memory of {IDLE:,} idle connections", idle_memory, once=True),
    )
}
