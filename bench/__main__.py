"""`python -m bench`: starts upstream and proxies, loads each in turn, prints and stores what they cost."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bench import markdown, report
from bench.measure import Round, check_answer, one_round
from bench.probes import PROBES, Figures, Probe
from bench.processes import BenchError, Cores, choose_cores, cpu_of
from bench.scenarios import DEFAULT, SCENARIOS, Scenario
from bench.targets import APT, STARTERS, Site, Target, require, start, start_upstream

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"


class Bench:
    """One invocation: the running targets, and why others are missing."""

    def __init__(self, options: argparse.Namespace, cores: Cores) -> None:
        self.options = options
        self.cores = cores
        self.targets: list[Target] = []
        self.missing: dict[str, str] = {}

    def start(self, stack: ExitStack) -> None:
        """What cannot be started is told at once and again at the end; the rest is measured."""
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream, ports = start_upstream(directory, self.cores)
        stack.callback(upstream.stop)
        site = Site(directory, self.cores, ports, self.options.workers)
        for name in self.options.only:
            try:
                target = start(name, site)
                stack.callback(target.child.stop)
                check_answer(target)
            except BenchError as error:
                self.leave_out(name, error)
            else:
                self.targets.append(target)

    def leave_out(self, name: str, why: BenchError) -> None:
        print(f"{name} is left out: {why}", file=sys.stderr)
        self.missing[name] = str(why)
        self.targets = [target for target in self.targets if target.name != name]

    def run(self, scenario: Scenario) -> dict[str, list[Round]]:
        connections = scenario.connections or self.options.connections
        for target in list(self.targets):  # warm up
            self._attempt(target, lambda target: one_round(target, scenario, connections, 1, self.cores))
        return self._rounds(
            self.options.rounds,
            lambda target: one_round(target, scenario, connections, self.options.seconds, self.cores),
        )

    def probe(self, probe: Probe) -> dict[str, list[Figures]]:
        rounds = 1 if probe.once else self.options.rounds
        return self._rounds(rounds, lambda target: probe.measure(target, self.cores, self.options.seconds))

    def _rounds(self, rounds: int, measure: Callable[[Target], T]) -> dict[str, list[T]]:
        """Interleaved, so that a slow minute of the machine hits all targets alike."""
        results: dict[str, list[T]] = {}
        for _ in range(rounds):
            for target in list(self.targets):
                measured = self._attempt(target, measure)
                settle(target)
                if measured is not None:
                    results.setdefault(target.name, []).append(measured)
        return results

    def _attempt(self, target: Target, measure: Callable[[Target], T]) -> T | None:
        try:
            return measure(target)
        except BenchError as error:
            self.leave_out(target.name, error)
            return None


def settle(target: Target) -> None:
    """Waits, a minute at most, until what the load left in a slow target is off the core of the next one."""
    for _ in range(240):
        before = cpu_of(target.child.process.pid)
        time.sleep(0.25)
        used = cpu_of(target.child.process.pid).minus(before)
        if used.user + used.system < 0.05:
            return


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # children are stopped on the way out
    try:
        return run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    require("wrk", "nginx", *(name for name in options.only if name in APT))
    bench = Bench(options, choose_cores(options.workers))
    results: dict[str, dict[str, list[Round]]] = {}
    probed: dict[str, dict[str, list[Figures]]] = {}
    with ExitStack() as stack:
        bench.start(stack)
        print(
            f"proxy on core {sorted(bench.cores.proxy)}; wrk and upstream on core {sorted(bench.cores.load)}"
        )
        # Memory first: after load, freed pages of a busier moment would be used again.
        for name in sorted(options.scenario, key=lambda name: name != "idle"):
            if name in PROBES:
                print(f"\n{name}: {PROBES[name].title}")
                probed[name] = bench.probe(PROBES[name])
                print(report.probe_table(probed[name]), flush=True)
            else:
                scenario = SCENARIOS[name]
                connections = scenario.connections or options.connections
                print(f"\n{name}: {scenario.title}; {connections} connections")
                results[name] = bench.run(scenario)
                print(report.table(results[name]), flush=True)
    path = options.output or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    report.write(path, {key: str(value) for key, value in vars(options).items()}, results, probed)
    print(f"\nmedian of {options.rounds} interleaved rounds of {options.seconds} s; written to {path}")
    if options.document is not None:
        markdown.update(options.document, path)
    for name, why in bench.missing.items():
        print(f"LEFT OUT: {name}: {why}")
    return 1 if bench.missing else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds per target (5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a round (4)")
    parser.add_argument("--connections", type=int, default=64, help="concurrent connections (64)")
    parser.add_argument("--workers", type=int, default=1, help="workers, and cores, of each proxy (1)")
    parser.add_argument(
        "--only",
        type=_names(STARTERS),
        default=list(STARTERS),
        metavar="TARGET[,TARGET]",
        help=f"of {', '.join(STARTERS)} (all)",
    )
    parser.add_argument(
        "--scenario",
        type=_names([*SCENARIOS, *PROBES]),
        default=list(DEFAULT),
        metavar="NAME[,NAME]",
        help=f"of {', '.join([*SCENARIOS, *PROBES])}, or all ({','.join(DEFAULT)})",
    )
    parser.add_argument("--document", type=Path, help="Markdown file whose figures are replaced by these")
    parser.add_argument("--output", type=Path, help="JSON file to write (bench/results/<time>.json)")
    return parser.parse_args(argv)


def _names(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    """Parses "a,b" or "all" into names of `allowed`."""

    def split(text: str) -> list[str]:
        names = list(allowed) if text == "all" else text.split(",")
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; allowed: {', '.join(allowed)}, all"
            )
        return names

    return split


if __name__ == "__main__":
    sys.exit(main())
