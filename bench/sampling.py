"""Measure what sampling costs clients: `python -m bench.sampling`.

Two proxies are in front of the same backends: one samples every request, the other none. Both receive
requests at the same low, fixed rate in turn; the result is the ratio of latencies within each pair of rounds.
`--other` stops the backend that no client uses (dead), or lets it accept requests without answering (slow).
Needs nginx and an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.processes import BenchError, Child, Cores, cpu_of, free_port, spawn, wait_for_port
from bench.targets import require, start_upstream

FIGURES = ("p50 ms", "p99 ms")

CONFIG = """
server:
  listen: 127.0.0.1:{port}
  admin: 127.0.0.1:{admin}
  workers: 1
  runtime_dir: {folder}
  state: sqlite:///{folder}/state.db
backends:
  legacy: {{url: 'http://127.0.0.1:{legacy}'}}
  async: {{url: 'http://127.0.0.1:{other}'}}
compare: {{sample: {sample}, rate: 1000}}
endpoints:
  GET /resource7/{{id}}: {{weight: 0}}
"""


class Proxy(NamedTuple):
    child: Child
    port: int
    admin: int

    def results(self) -> dict[str, int]:
        """Comparisons by result, from the metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            lines = [
                line for line in answer.read().decode().splitlines() if line.startswith("strangler_compare_t")
            ]
        pairs = (line.rpartition(" ") for line in lines)
        return {
            labels.partition('result="')[2].removesuffix('"}'): int(float(number))
            for labels, _, number in pairs
        }


@contextmanager
def proxy(folder: Path, sample: str, legacy: int, other: int, cores: frozenset[int]) -> Iterator[Proxy]:
    folder.mkdir()
    port, admin = free_port(), free_port()
    values = {
        "port": port,
        "admin": admin,
        "folder": folder,
        "legacy": legacy,
        "other": other,
        "sample": sample,
    }
    config = folder / "routing.yaml"
    config.write_text(CONFIG.format(**values))
    argv = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    child = spawn(f"proxy {sample}", argv, folder, cores)
    try:
        wait_for_port(child, port)
        yield Proxy(child, port, admin)
    finally:
        child.stop(10.0)


@contextmanager
def backend(kind: str, alive: int) -> Iterator[int]:
    """The port of the backend that only the comparer asks."""
    if kind == "alive":
        yield alive
        return
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "slow":
            taken.listen(4096)
        yield taken.getsockname()[1]


def latencies(target: Proxy, options: argparse.Namespace, cores: frozenset[int]) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.openloop", "--port", str(target.port), "--rate", str(options.rate)]
    argv += ["--connections", "8", "--seconds", str(options.seconds)]
    pin = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
    done = subprocess.run([*pin, *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip() or "the load generator failed")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def pairs(
    plain: Proxy, sampled: Proxy, options: argparse.Namespace, cores: frozenset[int]
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Which half comes first alternates."""
    measured = []
    for number in range(options.rounds):
        if number % 2:
            second = latencies(sampled, options, cores)
            measured.append((latencies(plain, options, cores), second))
        else:
            measured.append((latencies(plain, options, cores), latencies(sampled, options, cores)))
    return measured


def report(measured: Sequence[tuple[dict[str, float], dict[str, float]]]) -> str:
    lines = ["| | without | with | ratio (range) |", "|---|---|---|---|"]
    for figure in FIGURES:
        ratios = [extra[figure] / plain[figure] for plain, extra in measured]
        without, with_ = (median(half[figure] for half in halves) for halves in zip(*measured, strict=True))
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        lines.append(f"| {figure} | {without:.2f} | {with_:.2f} | {spread} |")
    failed = sum(half["errors"] for halves in measured for half in halves)
    return "\n".join([*lines, f"failed requests of clients: {failed:.0f}"])


def run(options: argparse.Namespace) -> None:
    require("nginx")
    available = frozenset(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sampling")))
        upstream, (legacy, alive) = start_upstream(folder, Cores(available, available))
        stack.callback(upstream.stop)
        other = stack.enter_context(backend(options.other, alive))
        plain = stack.enter_context(proxy(folder / "plain", "0%", legacy, other, available))
        sampled = stack.enter_context(proxy(folder / "sampled", "100%", legacy, other, available))
        warm(plain, sampled, options, available)
        before = cpu_of(sampled.child.process.pid), cpu_of(plain.child.process.pid)
        measured = pairs(plain, sampled, options, available)
        after = cpu_of(sampled.child.process.pid), cpu_of(plain.child.process.pid)
        with_, without = (sum(later.minus(earlier)) for later, earlier in zip(after, before, strict=True))
        print(
            f"{options.rate} requests/s, {options.rounds} pairs of {options.seconds} s, async {options.other}"
        )
        print(report(measured))
        print(f"CPU of the proxy's processes: {without:.1f} s without, {with_:.1f} s with")
        print(f"samples: {sampled.results()}")


def warm(plain: Proxy, sampled: Proxy, options: argparse.Namespace, cores: frozenset[int]) -> None:
    """Until the comparer has taken a sample: its start is not what is measured."""
    latencies(plain, options, cores)
    until = time.monotonic() + 60
    while set(sampled.results()) <= {"skipped: no comparer"}:
        if time.monotonic() > until:
            raise BenchError("the comparer did not start")
        latencies(sampled, options, cores)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m bench.sampling",
    )
    parser.add_argument("--rate", type=float, default=40, help="requests per second (default 40)")
    parser.add_argument("--seconds", type=float, default=10, help="length of a round (default 10)")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of rounds (default 10)")
    parser.add_argument("--other", choices=("alive", "dead", "slow"), default="alive")
    try:
        run(parser.parse_args(argv))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
