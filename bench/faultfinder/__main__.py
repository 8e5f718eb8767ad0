"""Runs both finders on the same endpoints with the same faults, and writes what came out."""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench import markdown
from bench.faultfinder.faults import FAULTS, Fault
from bench.faultfinder.finders import Diffy, Finder, Ours
from bench.faultfinder.world import ENDPOINTS, World

FINDERS: Final[dict[str, type[Finder]]] = {"this project": Ours, "Diffy's rule": Diffy}
BEGIN, END = "<!-- figures: python -m bench.faultfinder -->", "<!-- end of figures -->"


class Search(NamedTuple):
    """Samples until the fault was called one, by run; None: not within the limit. `asked` per sample."""

    samples: tuple[int | None, ...]
    asked: float


class Alarms(NamedTuple):
    """Of fault-free runs: in how many anything was ever called a fault, and in how many it was at the end."""

    runs: int
    ever: int
    last: int


def search(finder: type[Finder], fault: Fault, seeds: Sequence[int], limit: int) -> Search:
    samples: list[int | None] = []
    asked = total = 0
    for seed in seeds:
        found = finder(World(seed), fault.endpoint, fault)
        number = 0
        while fault.place not in found.now and number < limit:
            found.sample()
            number += 1
        samples.append(number if fault.place in found.now else None)
        asked, total = asked + found.asked, total + number
    return Search(tuple(samples), asked / max(1, total))


def alarms(finder: type[Finder], seeds: Sequence[int], length: int) -> Alarms:
    """Looked at after every sample; the endpoints take turns."""
    ever = last = 0
    names = list(ENDPOINTS)
    for number, seed in enumerate(seeds):
        found = finder(World(seed), names[number % len(names)], None)
        for _ in range(length):
            found.sample()
        if found.found:
            print(
                f"  seed {seed}: {names[number % len(names)]}: {', '.join(sorted(found.found))}", flush=True
            )
        ever += bool(found.found)
        last += bool(found.now)
    return Alarms(len(seeds), ever, last)


def told(found: Search, limit: int) -> tuple[str, str, str]:
    """Median, 90th percentile, and how many were found; what was not found took longer than all others."""
    numbers = sorted(limit + 1 if each is None else each for each in found.samples)
    middle = statistics.median_high(numbers)
    ninth = numbers[max(0, -(-9 * len(numbers) // 10) - 1)]
    shown = ["not found" if each > limit else f"{each:,}" for each in (middle, ninth)]
    hits = sum(each is not None for each in found.samples)
    return shown[0], shown[1], f"{hits} of {len(numbers)}"


def table(found: dict[tuple[str, str], Search], limit: int) -> list[str]:
    heads = "".join(f" {name}: median | p90 | found |" for name in FINDERS)
    lines = [f"| fault | rate |{heads}", "|---|---|" + "---:|" * 3 * len(FINDERS)]
    for fault in FAULTS:
        cells = [cell for name in FINDERS for cell in told(found[fault.name, name], limit)]
        lines.append(f"| {fault.name} | {fault.rate} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.faultfinder", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="of each fault")
    parser.add_argument("--limit", type=int, default=4000, help="samples after which a search is given up")
    parser.add_argument("--free", type=int, default=200, help="fault-free runs")
    parser.add_argument("--length", type=int, default=300, help="samples of a fault-free run")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="drawn if not given")
    parser.add_argument("--document", type=Path, help="write the tables between the marks of this page")
    options = parser.parse_args()
    chance, started = random.Random(options.seed), time.monotonic()
    seeds = [chance.getrandbits(48) for _ in range(options.runs)]
    print(f"seed {options.seed}", flush=True)
    found = {}
    for fault in FAULTS:
        for name, finder in FINDERS.items():
            result = found[fault.name, name] = search(finder, fault, seeds, options.limit)
            print(f"{fault.name}, {name}: {', '.join(told(result, options.limit))}", flush=True)
    free = [chance.getrandbits(48) for _ in range(options.free)]
    quiet = {name: alarms(finder, free, options.length) for name, finder in FINDERS.items()}
    lines = table(found, options.limit)
    lines += ["", *(sentence(name, each, options.length) for name, each in quiet.items())]
    requests = {name: statistics.fmean(found[each.name, name].asked for each in FAULTS) for name in FINDERS}
    per = " and ".join(f"{number:.1f} ({name})" for name, number in requests.items())
    lines.append(f"- Requests per sample, in the mean over the faults: {per}.")
    lines.append(
        f"- Seed {options.seed}, {options.runs} runs of each fault with at most {options.limit:,} samples; "
        f"{time.monotonic() - started:.0f} s."
    )
    print("\n".join(lines))
    if options.document:
        text = options.document.read_text()
        options.document.write_text(markdown.between(text, "\n".join(lines), BEGIN, END))
    ours = quiet["this project"]
    return 0 if ours.ever <= max(1, ours.runs // 100) else 1


def sentence(name: str, found: Alarms, length: int) -> str:
    return (
        f"- False alarms of {name}: in {found.ever} of {found.runs} fault-free runs of {length:,} samples "
        f"something was called a fault at some time, in {found.last} at the end."
    )


if __name__ == "__main__":
    sys.exit(main())
