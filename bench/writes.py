"""`python -m bench.writes`: what a claim adds to a write, on SQLite and on PostgreSQL.

Writes with a key and without one go through the same proxy to the same upstream in alternating rounds. Every
store is durable: what is measured includes its flushes to this machine's disk.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import configs, pairs
from bench.load import Recipe
from bench.markdown import between, table
from bench.measure import Round, check_answer, one_round
from bench.pairs import FIGURES, Pair
from bench.processes import BenchError, Cores, Cpu, choose_cores, cpu_of, free_port, spawn, wait_for_port
from bench.report import machine
from bench.scenarios import Scenario
from bench.targets import Target, require, start_upstream
from proxy.cli.demo import postgres

RESULTS = Path(__file__).parent / "results" / "writes.json"
STORES = ("sqlite", "postgresql")
CONNECTIONS = (1, 32)
PATH, BODY = "/resource7/1", 200
MARKERS = ("<!-- figures: python -m bench.writes -->", "<!-- end of figures of writes -->")
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Results = dict[tuple[str, int, int], list[Pair]]
"""By store, workers and connections."""


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # children are stopped on the way out
    try:
        require("wrk", "nginx")
        results: Results = {}
        for workers in options.workers:
            for store in options.store:
                results |= run(store, workers, options.rounds, options.seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    text = render(results, options.rounds, options.seconds)
    print(text)
    _store(options.output, results)
    if options.document:
        options.document.write_text(between(options.document.read_text(), text, *MARKERS))
    return 1 if any(map(pairs.failed, results.values())) else 0


class Site(NamedTuple):
    """A running proxy; `database` is the process id of its store's server, if that has one."""

    target: Target
    cores: Cores
    database: int | None
    seconds: int

    def measure(self, number: int, connections: int, keyed: bool) -> Round:
        """CPU time is that of the proxy and of the store's server."""
        recipe = Recipe("keyed.lua", (PATH, str(BODY), f"{connections}-{number}" if keyed else ""))
        before = cpu_of(self.database) if self.database else Cpu(0, 0)
        measured = one_round(self.target, Scenario("", "", recipe), connections, self.seconds, self.cores)
        used = cpu_of(self.database).minus(before) if self.database else before
        each = 1e6 / max(measured.requests, 1)
        user, system = measured.user + used.user * each, measured.system + used.system * each
        return replace(measured, user=user, system=system)


def run(store: str, workers: int, rounds: int, seconds: int) -> Results:
    """One proxy on one store, with each number of connections in turn."""
    cores = choose_cores(workers)
    results: Results = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        state, database = stack.enter_context(_state(store, directory))
        upstream, ports = start_upstream(directory, cores)
        stack.callback(upstream.stop)
        target = _proxy(directory, cores, ports, workers, state)
        stack.callback(target.child.stop)
        check_answer(target)
        site = Site(target, cores, database, seconds)
        for connections in CONNECTIONS:
            print(
                f"{store}, {workers} worker(s), {connections} connection(s) ...", file=sys.stderr, flush=True
            )
            site.measure(-1, connections, keyed=True)  # the store opens with the first key
            results[store, workers, connections] = pairs.measure(
                partial(site.measure, connections=connections, keyed=False),
                partial(site.measure, connections=connections, keyed=True),
                rounds,
            )
    return results


@contextmanager
def _state(store: str, directory: Path) -> Iterator[tuple[str, int | None]]:
    """`server.state`, and the process id of its server if it has one."""
    if store == "sqlite":
        yield f"sqlite:///{directory}/state.db", None
        return
    with postgres.running(directory / "postgres", durable=True) as server:
        pid = int((directory / "postgres" / "postmaster.pid").read_text().split("\n")[0])
        yield server.database("strangler"), pid


def _proxy(directory: Path, cores: Cores, ports: tuple[int, int], workers: int, state: str) -> Target:
    port = free_port()
    text = configs.routing(directory, port, free_port(), ports, workers)
    file = directory / "routing.yaml"
    file.write_text(text.replace(f"sqlite:///{directory}/state.db", f"'{state}'"))
    argv = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    child = spawn("strangler", argv, directory, cores.proxy)
    try:
        wait_for_port(child, port)
    except BenchError:
        child.stop()
        raise
    return Target("strangler", port, child, ports[0])


def render(results: Results, rounds: int, seconds: int) -> str:
    """As GitHub's Markdown."""
    about = machine()
    rows = [["store", "workers", "connections", "", *FIGURES]]
    for (store, workers, connections), measured in results.items():
        found = [pairs.cells(measured, figure) for figure in FIGURES]
        where = [TITLES[store], str(workers), str(connections)]
        rows.append([*where, "without a key", *(each[0] for each in found)])
        rows.append(["", "", "", "with a key", *(each[1] for each in found)])
        rows.append(["", "", "", "ratio", *(each[2] for each in found)])
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {about['cpu']}, {about['cores']} cores, Linux "
        f"{about['kernel']}, Python {about['python']}: {rounds} pairs of rounds of {seconds} s, a body of "
        f"{BODY} bytes, both kinds in turn through the same proxy. Medians; of the ratios also the range. "
        "CPU time is that of the proxy and of PostgreSQL. Requests that failed: "
        f"{sum(map(pairs.failed, results.values()))}.\n\n{table(rows)}"
    )


def _store(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        " ".join(map(str, key)): [{"plain": asdict(a), "extra": asdict(b)} for a, b in measured]
        for key, measured in results.items()
    }
    path.write_text(json.dumps({"machine": machine(), "pairs": document}, indent=1) + "\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.writes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds (5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a round (3)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="workers, one run each (1 2)")
    parser.add_argument("--store", nargs="+", choices=STORES, default=list(STORES), help="(both)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file (bench/results/writes.json)")
    parser.add_argument("--document", type=Path, help="put the table into this file, between its markers")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
