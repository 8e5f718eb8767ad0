"""`python -m bench.rollouts`: simulated rollouts in fake time, and what each threshold costs in time.

Prints a table and writes it to docs/results/rollouts.md. `--minutes` is how long the equal rollouts may take,
the longest part: as many of `--equal` as fit are played, and the table says how many those were.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

from bench.markdown import table
from bench.rollouts import cases
from bench.rollouts.costs import costs
from bench.rollouts.runs import Run

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "results" / "rollouts.md"
BEGIN, END = "<!-- rollouts: begin -->", "<!-- rollouts: end -->"


def equal(options: argparse.Namespace) -> Iterator[list[str]]:
    until, played, back, unproven = time.monotonic() + options.minutes * 60, 0, 0, 0
    states: dict[str, int] = {}
    while played < options.equal and time.monotonic() < until:
        runs = cases.equal(options.seed + played)
        played += 1
        back += any(run.state == "rolled_back" for run in runs)
        unproven += sum(run.unproven for run in runs)
        for run in runs:
            states[run.state] = states.get(run.state, 0) + 1
            if run.state == "rolled_back":
                print("rolled back for nothing:", options.seed + played - 1, run, flush=True)
    where = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield [
        f"equal backends, {cases.ENDPOINTS} endpoints over a week",
        f"{played:,}",
        f"{back} rolled back ({where})",
    ]
    yield ["advances without the plan's evidence, in these", f"{played:,}", str(unproven)]


def found(options: argparse.Namespace) -> Iterator[list[str]]:
    runs = _many(lambda seed: cases.dead(seed, outage=True), options)
    yield ["async dead at 1 %, after a shared outage of 60 s", f"{len(runs)}", _back(runs)]
    runs = _many(lambda seed: cases.dead(seed, outage=False), options)
    most = max(run.failing[0] for run in runs)
    yield ["async dead at 1 %", f"{len(runs)}", f"{_back(runs)}, after at most {most} failing users"]
    runs = _many(cases.five_times, options)
    both = median(sum(run.failing) for run in runs)
    own, legacy = (median(run.failing[side] for run in runs) for side in (0, 1))
    text = (
        f"{_back(runs)}, after {both:g} failing users in the median ({own:g} on async, {legacy:g} on legacy)"
    )
    yield ["async fails five times as often, at 10 %", f"{len(runs)}", text]


def rare(options: argparse.Namespace) -> Iterator[list[str]]:
    """Whether it was rolled back, or held because more fail on async than on legacy, and where."""
    for slower in (True, False):
        runs = [cases.one_in_a_hundred(options.seed + n, slower) for n in range(options.runs // 3)]
        early = [run for run in runs if run.weight < 2500]
        back = sum(run.state == "rolled_back" for run in early)
        later = sum(run.state == "rolled_back" for run in runs) - back
        name = f"one user in 100 fails on async alone, 2 requests/s, `slower` {'1.2' if slower else 'off'}"
        text = f"{back} rolled back and {len(early) - back} held before 25 %, {later} rolled back later"
        yield [name, f"{len(runs)}", text]


def _many(case: Callable[[int], Run], options: argparse.Namespace) -> list[Run]:
    return [case(options.seed + number) for number in range(options.runs)]


def _back(runs: Sequence[Run]) -> str:
    return f"{sum(run.state == 'rolled_back' for run in runs)} rolled back"


def write(text: str) -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--equal", type=int, default=2000, help="rollouts of equal backends")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long those may take")
    parser.add_argument("--runs", type=int, default=60, help="of every other case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--costs", action="store_true", help="only what the thresholds cost")
    options = parser.parse_args()
    parts = [costs()]
    if not options.costs:
        rows = [["simulated", "runs", "came of it"]]
        for row in chain(found(options), rare(options), equal(options)):
            print(" | ".join(row), flush=True)
            rows.append(row)
        command = f"`python -m bench.rollouts --minutes {options.minutes:g} --seed {options.seed}`"
        parts.insert(0, f"{command}\n\n{table(rows)}")
    text = "\n\n".join(parts)
    print(text)
    if not options.costs:
        write(text)


if __name__ == "__main__":
    main()
