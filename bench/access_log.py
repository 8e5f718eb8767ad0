"""`python -m bench.access_log`: what the access log adds to a request: two proxies, one of them writes it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import configs, pairs
from bench.markdown import table
from bench.measure import Round, check_answer, one_round
from bench.pairs import FIGURES
from bench.processes import BenchError, Cores, choose_cores, free_port, spawn, wait_for_port
from bench.scenarios import SCENARIOS
from bench.targets import Target, require, start_upstream

CONNECTIONS = 64


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.access_log", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds (5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a round (3)")
    options = parser.parse_args(argv)
    try:
        require("wrk", "nginx")
        measured = run(options.rounds, options.seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    rows = [["", *FIGURES]]
    found = [pairs.cells(measured, figure) for figure in FIGURES]
    rows += [[title, *(each[n] for each in found)] for n, title in enumerate(("off", "on", "ratio"))]
    print(f"{options.rounds} pairs of rounds of {options.seconds} s\n\n{table(rows)}")
    return 1 if pairs.failed(measured) else 0


def run(rounds: int, seconds: int) -> list[pairs.Pair]:
    cores = choose_cores(1)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream, ports = start_upstream(root, cores)
        stack.callback(upstream.stop)
        halves = []
        for name, log in (("off", "off"), ("on", str(root / "access.log"))):
            target = _proxy(root / name, cores, ports, log)
            stack.callback(target.child.stop)
            check_answer(target)
            _round(-1, target, 1, cores)  # warm up
            halves.append(partial(_round, target=target, seconds=seconds, cores=cores))
        return pairs.measure(halves[0], halves[1], rounds)


def _round(number: int, target: Target, seconds: int, cores: Cores) -> Round:
    return one_round(target, SCENARIOS["keys"], CONNECTIONS, seconds, cores)


def _proxy(directory: Path, cores: Cores, ports: tuple[int, int], access_log: str) -> Target:
    directory.mkdir()
    port = free_port()
    text = configs.routing(directory, port, free_port(), ports, 1)
    file = directory / "routing.yaml"
    file.write_text(text.replace("server:\n", f"server:\n  access_log: {access_log}\n", 1))
    argv = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    child = spawn("strangler", argv, directory, cores.proxy)
    try:
        wait_for_port(child, port, 60.0)
    except BenchError:
        child.stop()
        raise
    return Target("strangler", port, child, ports[0])


if __name__ == "__main__":
    sys.exit(main())
