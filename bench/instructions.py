"""`python -m bench.instructions`: CPU instructions per request of the data path alone, counted by valgrind.

No kernel and no load: bytes go into a client's connection and an upstream's, on transports that only take
them. The count is the same whatever else the machine is doing, so that a change of a percent shows. It is the
difference of two runs, so that starting up does not count.

    python -m bench.instructions               the sources, and the compiled build if `make compiled` made one
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from bench import compiled, configs
from proxy.config import load_text
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import Table
from proxy.core.settings import FULL_WEIGHT, RolloutPlan
from proxy.core.wire.messages import EndpointPosition
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.services import Services
from proxy.edge.upstream.connection import UpstreamConnection

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 01 Jan 2023 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 200\r\nConnection: keep-alive\r\n\r\n" + b"x" * 200
)

FEW, MOST = 200, 700  # requests
FOREVER = 1e18


class Sink:
    """A transport that takes everything; its socket is real, because idle connections are asked.

    What is called for each request is a function in C, as it is with uvloop's transports.
    """

    is_closing = bool

    def __init__(self) -> None:
        self._pair = socket.socketpair()
        self.write = deque(maxlen=1).append

    def get_extra_info(self, name: str) -> Any:
        return self._pair[0] if name == "socket" else ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int) -> None:
        """Of no use here."""


def request(number: int) -> bytes:
    return (
        b"GET /resource%d/%d HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: wrk/4.2\r\n"
        b"Accept: application/json\r\nX-User-Id: user-%d\r\nX-Request-Id: %032x\r\n\r\n"
    ) % (number % 45, number, number * 7 % 20_000, number)


def routed(scenario: str) -> Snapshot:
    """By the benchmarks' configuration; with `units`, all endpoints are in a rollout, at the same weights."""
    text = configs.routing(Path("/nowhere"), 1, 2, (9001, 9002), 1)
    snapshot = load_text(text, source="bench", environ={}).snapshot
    if scenario != "units":
        return snapshot
    plan = RolloutPlan("bench", (FULL_WEIGHT,))
    endpoints = tuple(replace(each, plan=plan) for each in snapshot.endpoints)
    planned = replace(snapshot, endpoints=endpoints, table=Table.build(endpoints))
    return planned.with_positions([EndpointPosition(each.name, each.weight, "1", 1.0) for each in endpoints])


def run(scenario: str, count: int) -> float:
    """`count` requests on one connection: all different (`keys`, `units`) or all the same (`fixed`).

    Returns the seconds that they took.
    """
    loop = uvloop.new_event_loop()
    services = Services(loop, routed(scenario))
    upstreams = []
    for pool in services.pools.values():
        upstream = UpstreamConnection(pool, pool.addresses[0])
        upstream.connection_made(Sink())  # type: ignore[arg-type]
        upstream.request_sent = upstream.pooled = True
        pool.connections += 1
        pool.addresses[0].outstanding += 1
        pool.release(upstream)
        upstreams.append(upstream)
    client = ClientConnection(services, "127.0.0.1")
    client.connection_made(Sink())  # type: ignore[arg-type]
    first, second = upstreams
    numbers = range(max(count, MOST))
    requests = [request(7 if scenario == "fixed" else number) for number in numbers][:count]
    began = perf_counter()
    for data in requests:
        client.data_received(data)
        (first if first.exchange is not None else second).data_received(RESPONSE)
        first.idle_since = second.idle_since = FOREVER  # valgrind is slow: nothing may expire meanwhile
    return perf_counter() - began


def counted(scenario: str, count: int, path: str) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += ["-m", "bench.instructions", "--run", scenario, str(count)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if found is None:
        raise SystemExit(f"valgrind failed:\n{result.stderr[-2000:]}")
    return int(found[1])


def per_request(scenario: str, path: str) -> int:
    """With `path` as PYTHONPATH, which says whether the sources or the compiled build run."""
    counted(scenario, FEW, path)  # writes .pyc files
    few, many = counted(scenario, FEW, path), counted(scenario, MOST, path)
    return (many - few) // (MOST - FEW)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--run", nargs=2, metavar=("SCENARIO", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run[0], int(arguments.run[1]))
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind not found; on Debian: apt-get install valgrind", file=sys.stderr)
        return 2
    builds = {"sources": str(compiled.ROOT)}
    if compiled.is_current():
        builds["compiled"] = f"{compiled.SITE}:{compiled.ROOT}"
    else:
        print("compiled: not built, or not from these sources; `make compiled`", file=sys.stderr)
    for build, path in builds.items():
        for scenario in ("keys", "fixed"):
            print(
                f"{build:9} {scenario:6} {per_request(scenario, path):,} instructions per request", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
