"""What 100,000 users would need on real servers, from what one request was measured to cost. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

USERS = 100_000
PAUSES = (60.0, 10.0)  # seconds between two requests of one user
BUSY = 0.6  # share of a core that is used at the peak; the rest is for bursts and for a server that is down
SERVER = (8, 32.0)  # cores and GiB
PRICE = 0.40  # USD for an hour of such a server: the order of what clouds asked on demand in 2025
HOURS = 730  # in a month


class Need(NamedTuple):
    name: str
    processes: int
    cores: float  # busy, of the backend
    others: float  # busy, of proxy and database
    gib: float  # of the backend
    servers: int  # for the backend
    dollars: float  # each month, for those


def need(result: Mapping[str, Any], step: Mapping[str, Any], think: float, pause: float) -> Need:
    """For a target's result and the step at its most users. Sync processes are counted by the users that
    one of them bore, async ones by the CPU time of a request."""
    rate = USERS / pause
    cpu = {kind: step["cpu"][kind] / step["per_second"] for kind in ("backend", "proxy", "postgres")}
    cores = rate * cpu["backend"]
    if result["target"].startswith("legacy"):
        processes = math.ceil(USERS / (max(1, result["users"]) / result["processes"]) * think / pause)
    else:
        processes = math.ceil(cores / BUSY)
    gib = processes * result["memory"] / result["processes"] / 2**30
    servers = max(2, math.ceil(cores / BUSY / SERVER[0]), math.ceil(gib / SERVER[1]))
    others = rate * (cpu["proxy"] + cpu["postgres"])
    return Need(result["target"], processes, cores, others, gib, servers, servers * PRICE * HOURS)
