"""One round: load on a target, and what that cost the target's processes."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from bench.configs import JSON
from bench.load import wrk
from bench.processes import BenchError, Cores, cpu_of
from bench.scenarios import Scenario
from bench.targets import Target


@dataclass(frozen=True)
class Round:
    """Latencies in milliseconds, processor time in microseconds per request."""

    requests: int
    errors: int
    per_second: float
    megabytes_per_second: float
    p50: float
    p99: float
    p999: float
    user: float
    system: float
    busy: float  # share of one core that the proxy used, 1.0 = a whole one

    @property
    def cpu(self) -> float:
        return self.user + self.system


def check_answer(target: Target) -> None:
    """One request through the target must bring the upstream's JSON: nobody is measured on errors."""
    url = f"http://127.0.0.1:{target.port}/resource7/1"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read().decode()
    except OSError as error:
        raise BenchError(f"{target.name} does not forward: {error}") from None
    if body != JSON:
        raise BenchError(f"{target.name} answered {body[:80]!r} instead of the upstream's JSON")


def one_round(target: Target, scenario: Scenario, connections: int, seconds: float, cores: Cores) -> Round:
    pid = target.child.process.pid
    before = cpu_of(pid)
    load = wrk(target.port, scenario.recipe, connections, seconds, cores)
    used = cpu_of(pid).minus(before)
    if target.child.process.poll() is not None:
        raise BenchError(f"{target.name} exited under load: {target.child.failure()}")
    each = 1e6 / max(load.requests, 1)
    return Round(
        requests=load.requests,
        errors=load.errors,
        per_second=load.requests / load.seconds,
        megabytes_per_second=load.bytes / load.seconds / 1e6,
        p50=load.p50,
        p99=load.p99,
        p999=load.p999,
        user=used.user * each,
        system=used.system * each,
        busy=(used.user + used.system) / load.seconds,
    )
