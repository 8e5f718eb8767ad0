"""`python -m bench.rollouts`: simulated rollouts in fake time, and what each threshold costs in time.

Prints a table and writes it to docs/results/rollouts.md. `--minutes` is how long the equal rollouts may take,
the longest part: as many of `--equal` as fit are played, and the table says how many those were. They are
played at low priority.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from multiprocessing import Pool
from pathlib import Path
from statistics import median
from typing import Final

from bench.markdown import table
from bench.rollouts import cases
from bench.rollouts.costs import costs
from bench.rollouts.runs import Run

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "results" / "rollouts.md"
BEGIN, END = "<!-- rollouts: begin -->", "<!-- rollouts: end -->"
LOW: Final = 10  # the niceness of the long part


def equal(options: argparse.Namespace) -> Iterator[list[str]]:
    """Seed after seed, each whole; what is under way when the time is up does not count."""
    until, played, back, unproven, cpu = time.monotonic() + options.minutes * 60, 0, 0, 0, 0.0
    states: Counter[str] = Counter()
    seeds = range(options.seed, options.seed + options.equal)
    with Pool(options.processes, os.nice, (LOW,)) as pool:
        for seed, runs, seconds in pool.imap(_week, seeds):
            played, cpu = played + 1, cpu + seconds
            fallen = [run for run in runs if run.state == "rolled_back"]
            back += bool(fallen)
            unproven += sum(run.unproven for run in runs)
            states.update(run.state for run in runs)
            for run in fallen:
                print("rolled back for nothing:", seed, run, flush=True)
            if time.monotonic() > until:
                break
    where = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    name = f"equal backends, {cases.ENDPOINTS} endpoints over a week, {cpu / played:.2g} s of CPU each"
    yield [name, f"{played:,}", f"{back} with an endpoint rolled back ({where})"]
    yield ["advances without the plan's evidence, in these", f"{played:,}", str(unproven)]


def _week(seed: int) -> tuple[int, list[Run], float]:
    begun = time.process_time()
    return seed, cases.equal(seed), time.process_time() - begun


def found(options: argparse.Namespace) -> Iterator[list[str]]:
    runs = _many(partial(cases.dead, outage=True), options.runs, options)
    yield ["async dead at 1 %, after a shared outage of 60 s", f"{len(runs)}", _back(runs)]
    runs = _many(partial(cases.dead, outage=False), options.runs, options)
    most = max(run.failing[0] for run in runs)
    yield ["async dead at 1 %", f"{len(runs)}", f"{_back(runs)}, after at most {most} failing users"]
    runs = _many(cases.five_times, options.runs, options)
    both = median(sum(run.failing) for run in runs)
    own, legacy = (median(run.failing[side] for run in runs) for side in (0, 1))
    text = (
        f"{_back(runs)}, after {both:g} failing users in the median ({own:g} on async, {legacy:g} on legacy)"
    )
    yield ["async fails five times as often, at 10 %", f"{len(runs)}", text]


def rare(options: argparse.Namespace) -> Iterator[list[str]]:
    """Whether it was rolled back, or held because more fail on async than on legacy, and where."""
    for slower in (True, False):
        runs = _many(partial(cases.one_in_a_hundred, slower=slower), options.rare, options)
        early = [run for run in runs if run.weight < 2500]
        back = sum(run.state == "rolled_back" for run in early)
        name = f"one user in 100 fails on async alone, 2 requests/s, `slower` {'1.2' if slower else 'off'}"
        came = len(runs) - len(early)
        text = f"{back} rolled back and {len(early) - back} held before 25 %, {came} came to it"
        yield [name, f"{len(runs)}", text]


def _many(case: Callable[[int], Run], count: int, options: argparse.Namespace) -> list[Run]:
    with Pool(options.processes) as pool:
        return pool.map(case, range(options.seed, options.seed + count), chunksize=4)


def _back(runs: Sequence[Run]) -> str:
    return f"{sum(run.state == 'rolled_back' for run in runs)} rolled back"


def _where(options: argparse.Namespace) -> str:
    """The command, and the machine."""
    given = f"--minutes {options.minutes:g} --runs {options.runs} --rare {options.rare} --seed {options.seed}"
    machine = f"{os.cpu_count()} cores, shared with others at the time; Python {platform.python_version()}"
    return f"`python -m bench.rollouts {given}`; {machine}"


def write(text: str) -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--equal", type=int, default=2000, help="rollouts of equal backends")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long those may take")
    parser.add_argument("--runs", type=int, default=60, help="of every case in which async is at fault")
    parser.add_argument("--rare", type=int, default=200, help="runs in which it fails one user in 100")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--costs", action="store_true", help="only what the thresholds cost")
    options = parser.parse_args()
    parts = [costs()]
    if not options.costs:
        rows = [["simulated", "runs", "came of it"]]
        for row in chain(found(options), rare(options), equal(options)):
            print(" | ".join(row), flush=True)
            rows.append(row)
        parts.insert(0, f"{_where(options)}\n\n{table(rows)}")
    text = "\n\n".join(parts)
    print(text)
    if not options.costs:
        write(text)


if __name__ == "__main__":
    main()
