"""What each measure brings to the users that async bears, one switched on at a time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from bench.headline import parts
from bench.headline.capacity import Plan, capacity, waits
from bench.headline.parts import Parts

WIDE = {"POOL_MAX": "200"}


@dataclass(frozen=True)
class Measure:
    """Settings of async_api on top of none, and what else has to run."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)


MEASURES = (
    Measure("async alone (pool of 10)", {"COLLAPSE": "false"}),
    Measure("pool of 200", {**WIDE, "COLLAPSE": "false"}),
    Measure("pool of 200, collapsing", {**WIDE, "COLLAPSE": "true"}),
)


def run(here: Parts, options: argparse.Namespace, plan: Plan, bound: float) -> dict[str, Any]:
    """One row for each measure. The waits that a request is allowed are those of async alone, in all rows."""
    processes = max(1, options.processes // 2)
    rows: list[dict[str, Any]] = []
    trips: dict[str, int] = {}
    guess = round(80 * plan.think)
    for measure in MEASURES:
        with ExitStack() as stack:
            target = parts.async_(stack, here, measure.name, processes, bound, measure.environment)
            here.route(target)
            trips = trips or waits(here, target)
            row = capacity(here, replace(target), options.measures_wait, trips, plan, guess)
            rows.append({"name": measure.name, **row})
            guess = row["users"] or guess
    return {"wait_ms": options.measures_wait, "processes": processes, "rows": rows}
