"""`python -m tests.edge.model`: every order of events, many times over, for as long as you like."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time

from tests.edge.model.faults import FAULTS, put_back
from tests.edge.model.invariants import KINDS
from tests.edge.model.walk import Walk, shortest


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.edge.model",
        description="Looks for an order of events in which a write is sent twice, or an answer is foreign.",
    )
    parser.add_argument("--steps", type=int, default=200_000, help="events, in all worlds together (200000)")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens (1)")
    parser.add_argument(
        "--fault", action="append", choices=sorted(FAULTS), default=[], help="take out a fix; may be repeated"
    )
    parser.add_argument(
        "--ignore", action="append", choices=sorted(KINDS), default=[], help="what is not to be looked for"
    )
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # backends fail all the time here
    walk = Walk(given.seed, KINDS - frozenset(given.ignore))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        for fault in given.fault:
            stack.enter_context(put_back(fault))
        found = walk.go(given.steps)
        seconds = time.monotonic() - began
        print(f"{walk.count:,} events in {walk.worlds:,} worlds, {walk.count / seconds:,.0f} per second")
        for name, count in sorted(walk.happened.items()):
            print(f"  {name:20} {count:>9,}")
        print(f"answers: {dict(walk.answers)}")
        if found is None:
            print("nothing is wrong")
            return 0
        print(f"after {found.after:,} events: {shortest(found)}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
