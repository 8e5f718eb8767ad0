"""One run: clients and faults at the same time, then what is still open is finished, then the verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.store.writes import listing
from tests.faults.saturation import site as sites
from tests.faults.saturation.checker import Seen, check
from tests.faults.saturation.clients import READS, REPEATS, Clients
from tests.faults.saturation.faults import ALL, Faults, find_libfaketime
from tests.faults.saturation.schedule import Plan, Store

PATIENCE: Final = 30.0  # seconds beyond the longest stall and the timeout after it
LINES: Final = 40
FINISH: Final = 60.0  # seconds in which all that is open must come to an end when nothing breaks any more


@dataclass(frozen=True)
class Result:
    plan: Plan
    seen: Seen
    problems: list[str]
    fired: Counter[str]
    never_fired: list[str]
    statuses: Counter[str]
    reads: int
    left: int
    log: Sequence[str]  # the last lines of the proxy's own

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(write.outcome for write in self.seen.writes)


def seconds_for(writes: int, rate: float) -> float:
    """How long so many new keys take, at `rate` requests a second of all kinds."""
    return writes / (rate * (1 - READS) * (1 - REPEATS))


async def run(folder: Path, plan: Plan, *, store: Store, writes: int, rate: float, seed: int) -> Result:
    longest = max(episode.lasts for episode in plan.episodes)
    patience = longest + plan.timeouts.response + PATIENCE
    async with sites.running(folder, store, plan.timeouts, plan.connections, find_libfaketime()) as site:
        clients = Clients(site.url, seed, patience)
        faults = Faults(site, clients, seed)
        await asyncio.gather(clients.run(writes, rate), faults.run(plan))
        await clients.finish(FINISH)
        unknown = {record.key for record in await listing(site.store.url, "unknown", ALL)}
        seen = Seen(
            clients.writes,
            await site.executed(),
            unknown,
            clients.foreign,
            clients.hung,
            await site.violations(),
        )
        log = site.proxy.log.read_text(errors="replace").splitlines()[-LINES:]
    planned = {episode.kind for episode in plan.episodes}
    never = sorted(kind for kind in planned if not faults.fired[kind])
    return Result(
        plan, seen, check(seen), faults.fired, never, clients.statuses, clients.reads, clients.left, log
    )
