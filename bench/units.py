"""`python -m bench.units`: what a rollout costs each request of its endpoints, in instructions and in time.

The same requests as in `bench.instructions`, with and without a rollout of all endpoints at the same weights.
Times are the least of several rounds taken in turns; they depend on the machine, the instructions do not.
"""

from __future__ import annotations

import os
import subprocess
import sys

from bench import compiled
from bench.instructions import per_request, run

SCENARIOS = ("keys", "units")  # without and with
REQUESTS = 20_000
ROUNDS = 9


def microseconds(scenario: str, path: str) -> float:
    """Of one request, in one round."""
    command = [sys.executable, "-m", "bench.units", "--run", scenario]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return float(done.stdout) / REQUESTS * 1e6


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        print(run(sys.argv[2], REQUESTS))
        return 0
    builds = {"sources": str(compiled.ROOT)}
    if compiled.is_current():
        builds["compiled"] = f"{compiled.SITE}:{compiled.ROOT}"
    else:
        print("compiled: not built, or not from these sources; `make compiled`", file=sys.stderr)
    for build, path in builds.items():
        rounds = [[microseconds(scenario, path) for scenario in SCENARIOS] for _ in range(ROUNDS)]
        without, within = map(min, zip(*rounds, strict=True))
        few, more = (per_request(scenario, path) for scenario in SCENARIOS)
        print(f"{build:9} without a rollout {few:,} instructions, {without:.2f} us per request")
        print(f"{build:9} in a rollout      {more:,} instructions, {within:.2f} us per request")
        print(
            f"{build:9} difference        {more - few:,} instructions, {within - without:.2f} us", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
