"""`python -m tests.faults`: many writes, many faults, and a look into the databases afterwards."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.run import run
from tests.faults.saturation import command as saturation


def main() -> None:
    parser = argparse.ArgumentParser(description="Looks for writes that were executed twice, or lost.")
    parser.add_argument("--writes", type=int, default=20_000, help="payments and refunds (20000)")
    parser.add_argument("--faults", type=int, default=200, help="faults, the clients' own not counted (200)")
    parser.add_argument(
        "--seed", type=int, default=1, help="decides what breaks, and after how many writes (1)"
    )
    parser.add_argument("--clients", type=int, default=24, help="clients at the same time (24)")
    parser.add_argument(
        "--break-ownership", action="store_true", help="the checker must find duplicates then"
    )
    saturation.add_arguments(parser)
    given = parser.parse_args()
    if given.saturate:
        sys.exit(saturation.main(given))
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        result = asyncio.run(
            run(
                Path(folder),
                writes=given.writes,
                faults=given.faults,
                seed=given.seed,
                clients=given.clients,
                broken=given.break_ownership,
            )
        )
    for title, counts in (
        ("faults", result.fired),
        ("answers", result.statuses),
        ("writes", result.outcomes),
    ):
        print(f"{title}:")
        for name, count in sorted(counts.items()):
            print(f"  {count:7} {name}")
    for line in result.problems[:50]:
        print(f"PROBLEM: {line}")
    for kind in result.never_fired:
        print(f"PROBLEM: the fault {kind} never happened")
    failed = bool(result.problems or result.never_fired)
    print("failed" if failed else "clean")
    sys.exit(failed)


if __name__ == "__main__":
    main()
