"""`python -m tests.faults --saturate`: which plan is run, and with what."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

import uvloop

from tests.faults.saturation import report, schedule
from tests.faults.saturation.faults import find_libfaketime
from tests.faults.saturation.run import run, seconds_for
from tests.faults.saturation.schedule import Plan

SCENARIOS: Final = {
    "mixed": "everything, drawn from the seed; timeouts are a tenth of the default ones",
    "stalls": "16 connections, 3 s for an answer, three stalls of 10 s",
    "real": "256 connections, 30 s for an answer, one stall of 45 s: the default settings",
}
REAL_STALL: Final = 45.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    family = parser.add_argument_group("saturation", "fast backends, slow moments, and pools that are full")
    family.add_argument("--saturate", action="store_true", help="run these faults instead of the others")
    family.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite", help="(sqlite)")
    family.add_argument(
        "--scenario",
        choices=tuple(SCENARIOS),
        default="mixed",
        help="; ".join(f"{name}: {what}" for name, what in SCENARIOS.items()),
    )
    family.add_argument("--only", action="append", metavar="KIND", help="of the faults; may be repeated")
    family.add_argument("--rate", type=float, default=120.0, help="requests a second, reads as well (120)")


def main(given: argparse.Namespace) -> bool:
    """Prints the report; whether the run failed."""
    plan = plan_for(given, clocks=find_libfaketime() is not None)
    if find_libfaketime() is None:
        print("left out: clocks that are off (Debian: apt-get install faketime)")
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        result = uvloop.run(
            run(Path(folder), plan, store=given.store, writes=given.writes, rate=given.rate, seed=given.seed)
        )
    print("\n".join(report.lines(result)))
    return report.failed(result)


def plan_for(given: argparse.Namespace, *, clocks: bool) -> Plan:
    match given.scenario:
        case "stalls":
            timeouts = schedule.SCALED._replace(connect=schedule.REAL.connect)
            return schedule.stalls(16, timeouts, [10.0] * 3, 1.0)
        case "real":
            return schedule.stalls(256, schedule.REAL, [REAL_STALL], 0.0)
        case _:
            seconds = seconds_for(given.writes, given.rate)
            chosen = given.only or schedule.kinds(given.store, clocks=clocks)
            return schedule.mixed(given.seed, seconds, chosen)
