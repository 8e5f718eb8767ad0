"""`python -m bench.hundredk`: open many connections through the proxy, each with an occasional request.

First all requests go to a light stub; then the same connections are moved to async_api by changing weights.
Ends by itself. Exit 1 if a goal was missed: no errors, P99 at most 150 ms, 16 KiB of memory per connection.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crowd import site
from bench.crowd.document import insert
from bench.crowd.driver import Crowd, Window
from bench.crowd.once import measure
from bench.crowd.site import Proxy
from bench.crowd.usage import Meter, memory, overflows, sockets
from bench.hundredk import markdown
from bench.processes import Child, free_port, spawn, wait_for_port

UPSTREAMS = 256  # connections of a worker to a backend
RESERVED = 2_500  # descriptors of a worker that are not clients: upstreams, listener, libraries
SLICES = 6  # of a measurement, whose P99s tell the spread
SETTLE = 10.0  # seconds
WARM = 200  # connections that have asked before memory is first looked at


@dataclass
class Parts:
    """What runs, by kind."""

    proxy: Proxy
    stub: str
    async_: list[str]
    kinds: dict[str, list[int]] = field(default_factory=dict)


def start(stack: ExitStack, directory: Path, options: argparse.Namespace) -> tuple[Parts, list[str]]:
    """The parts, and what users need to be told of the API."""
    book: list[str] = []
    async_: list[str] = []
    kinds: dict[str, list[int]] = {}
    if options.async_seconds:
        database = site.start_database(stack, directory, 200, 10_000)
        fx, fx_port = site.start_fx(stack, directory)
        settings = {"DATABASE_URL": database.url, "FX_URL": f"http://127.0.0.1:{fx_port}", "POOL_MAX": "40"}
        children, async_ = site.start_async(stack, directory, options.async_processes, settings)
        kinds = {"async": [child.process.pid for child in children]}
        kinds |= {"postgres": [database.pid], "fx": [fx.process.pid]}
        book = [f"--book={database.book}"]
    stub, port = _start_stub(stack, directory)
    proxy = Proxy(directory, processes_for(options.connections), UPSTREAMS)
    url = f"http://127.0.0.1:{port}"
    proxy.start(stack, [url], async_ or [url], 0)
    assert proxy.child is not None
    kinds = {"proxy": [proxy.child.process.pid], "stub": [stub.process.pid], **kinds}
    return Parts(proxy, url, async_, kinds), book


def _start_stub(stack: ExitStack, directory: Path) -> tuple[Child, int]:
    port = free_port()
    argv = [sys.executable, "-m", "bench.hundredk.stub", "--port", str(port)]
    child = spawn("stub", argv, directory, site.EVERYWHERE)
    stack.callback(child.stop)
    wait_for_port(child, port)
    return child, port


def processes_for(connections: int) -> int:
    """How many workers, or processes of users, this many connections need with the descriptors of each."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return max(2, math.ceil(connections / max(1_000, descriptors - RESERVED)))


def run(stack: ExitStack, directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    parts, book = start(stack, directory, options)
    processes = processes_for(options.connections)
    pace = ["--even", f"--think={options.every}", f"--rate={options.rate / processes}"]
    crowd = Crowd(parts.proxy.data, processes, [*book, *pace], directory)
    stack.callback(crowd.stop)
    parts.kinds["users"] = crowd.pids
    found: dict[str, Any] = {"workers": parts.proxy.workers, "processes of users": processes}
    found["opening"] = opening(crowd, parts, options)
    print(f"opened: {found['opening']}", flush=True)
    found["stub"] = phase(crowd, parts, options.seconds)
    print(f"stub: {found['stub']}", flush=True)
    if options.async_seconds:
        crowd.pace(options.async_every)  # first, or async would begin with a queue of what the stub bore
        crowd.measure(SETTLE)
        parts.proxy.route([parts.stub], parts.async_, 100)
        crowd.measure(SETTLE)  # the service opens its connections and fills its cache
        found["async"] = phase(crowd, parts, options.async_seconds)
        print(f"async: {found['async']}", flush=True)
    return found


def opening(crowd: Crowd, parts: Parts, options: argparse.Namespace) -> dict[str, Any]:
    crowd.users(min(WARM, options.connections))
    crowd.pace(0.2)
    crowd.measure(2)
    crowd.pace(options.every)
    before, kernel, turned_away = memory(parts.kinds["proxy"]), sockets(), overflows()
    meter, started = Meter(parts.kinds), time.monotonic()
    crowd.users(options.connections, 120 + 10 * options.connections / options.rate)
    seconds = time.monotonic() - started
    return {
        "seconds": round(seconds, 1),
        "per_second": round((options.connections - WARM) / seconds),
        "memory_before": before,
        "overflows": overflows() - turned_away,
        "kernel_per_connection": round((sockets() - kernel) / options.connections),
        "cpu": meter.read(),
    }


def phase(crowd: Crowd, parts: Parts, seconds: float) -> dict[str, Any]:
    meter, window, turned_away = Meter(parts.kinds), Window(), overflows()
    slices = []
    for _ in range(SLICES):
        piece = crowd.measure(seconds / SLICES)
        slices.append(round(piece.percentile(0.99), 2))
        window = window.after(piece)
    used = meter.read()
    return {
        "seconds": round(window.seconds, 1),
        "users": window.users,
        "answered": window.answered,
        "per_second": round(window.per_second, 1),
        "errors": dict(window.errors),
        "lost": window.lost,
        "overflows": overflows() - turned_away,
        **{f"p{100 * share:g}_ms": window.percentile(share) for share in (0.5, 0.99, 0.999, 1.0)},
        "p99_of_slices": slices,
        "lag_p99_ms": window.lag_ms,
        "cpu": used,
        "memory": {kind: memory(pids) for kind, pids in parts.kinds.items()},
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.hundredk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.hundredk --connections 2000 --seconds 10 --async-seconds 0",
    )
    parser.add_argument("--connections", type=int, default=100_000, help="open at once (%(default)s)")
    parser.add_argument(
        "--every", type=float, default=60, help="seconds between two requests of one (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=120, help="measured onto the stub (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=2_000, help="connections opened each second (%(default)s)"
    )
    parser.add_argument(
        "--async-every", type=float, default=300, help="the same, onto async_api (%(default)s)"
    )
    parser.add_argument(
        "--async-seconds", type=float, default=120, help="measured there; 0: leave out (%(default)s)"
    )
    parser.add_argument("--async-processes", type=int, default=2, help="of async_api (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("bench/results/hundredk.json"), help="(%(default)s)"
    )
    parser.add_argument(
        "--document", type=Path, help="replace the figures in this file: docs/results/scale.md"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    document = measure("hundredk", options, run)
    figures = markdown.render(document)
    print(f"{figures}\n\nwritten to {options.output} after {document['took']} s")
    if options.document:
        insert(options.document, "bench-100k", figures)
    return 0 if markdown.reached(document) else 1


if __name__ == "__main__":
    sys.exit(main())
