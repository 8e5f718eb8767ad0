"""One run: clients and faults at the same time, then the verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import check
from tests.faults.clients import Clients
from tests.faults.injector import KINDS, OTHERS, Injector
from tests.faults.relay import CUTS
from tests.faults.site import running


@dataclass
class Result:
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def never_fired(self) -> list[str]:
        return [kind for kind in KINDS if not self.fired[kind]]


async def run(
    folder: Path,
    *,
    writes: int,
    faults: int,
    seed: int,
    clients: int,
    kinds: Sequence[str] = (*OTHERS, *CUTS),
    broken: bool = False,
) -> Result:
    """`broken`: with ownership switched off, so that the checker has something to find."""
    async with running(folder, broken=broken) as site:
        payers = Clients(site, seed)
        injector = Injector(site, payers, seed)
        await asyncio.gather(payers.run(writes, clients), injector.run(writes, faults, kinds))
        site.cuts.waiting.clear()
        await payers.finish()
        return Result(
            outcomes=Counter(write.outcome for write in payers.writes),
            statuses=payers.statuses,
            fired=injector.total(),
            problems=check(site.database, site.claims, payers.writes, f"f{seed}"),
        )
