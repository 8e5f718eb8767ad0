"""One control process's runner with a clock of its own, a collector that is fed by hand, and no workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.collect import Collector
from proxy.control.ledger import Ledger
from proxy.control.reload import InForce, load
from proxy.control.rollouts.database import Database
from proxy.control.rollouts.parts import Clocks, Rollouts, rollouts_of
from proxy.control.supervisor.supervisor import Supervisor
from proxy.control.verdicts import Verdicts
from proxy.core.routing.snapshot import Snapshot
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Positions, Stats, UnitReport
from proxy.store import StoreUnavailable, audit, rollouts
from proxy.store.audit import AuditEntry
from proxy.store.rollouts import RolloutRow

PLAN = "steps: [0, 1, 25, 100], dwell: 10s, advance: {failing: off, no_worse: off, slower: off, parity: off}"
UNITS = 80_000


def config(endpoints: str, plan: str = PLAN, more: str = "") -> str:
    return f"""\
backends: {{legacy: {{url: "http://127.0.0.1:1"}}, async: {{url: "http://127.0.0.1:2"}}}}
rollouts:
  careful: {{{plan}}}
{more}
endpoints:
  {endpoints}
"""


A = config("GET /a: {rollout: careful}")


class Clock:
    """Both clocks: `wall` may be set."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.ahead = 1_700_000_000.0

    def wall(self) -> float:
        return self.steady + self.ahead

    def monotonic(self) -> float:
        return self.steady


class FlakyDatabase(Database):
    away = False

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[AsyncConnection]:
        if self.away:
            raise StoreUnavailable("it is away")
        async with super().transaction(readonly=readonly) as connection:
            yield connection


class Told:
    """In the supervisor's place: what the workers were told."""

    def __init__(self) -> None:
        self.positions: list[Positions] = []
        self.before: Callable[[], None] = lambda: None

    def place(self, positions: Positions) -> None:
        self.before()
        self.positions.append(positions)


class Replica:
    def __init__(self, url: str, folder: Path, text: str, clock: Clock) -> None:
        folder.mkdir(exist_ok=True)
        self.url, self.folder = url, folder
        self.clock = clock
        self.database = FlakyDatabase(url)
        self.in_force = InForce(load(text.encode(), "routing.yaml"))
        self.collector = Collector(clock.monotonic)
        self.told = Told()
        self.began: list[Snapshot] = []
        self.verdicts = Verdicts(url, self.in_force.snapshot)
        ledger = Ledger(url, self.collector, self.in_force.snapshot, clock.wall)
        self.rollouts: Rollouts = rollouts_of(
            self.database,
            folder,
            self.in_force,
            cast(Supervisor, self.told),
            self.collector,
            self.verdicts,
            ledger,
            self.began.append,
            Clocks(clock.wall, clock.monotonic),
        )
        self.collector.joined("w", fresh=True)

    async def start(self) -> None:
        """As a process does: what is known, then what the workers are told."""
        await self.rollouts.runner.begin()
        self.rollouts.runner.tell()

    async def tick(self, times: int = 1, seconds: float = 1.0) -> None:
        for _ in range(times):
            self.clock.steady += seconds
            await self.rollouts.runner.tick()

    async def close(self) -> None:
        """As a process that is killed: nothing is written any more."""
        await self.database.close()

    def reload(self, text: str) -> None:
        """A newer file is accepted, and published."""
        loaded = load(text.encode(), "routing.yaml")
        self.in_force.take(loaded, self.rollouts.board.adopt(loaded.snapshot))
        self.rollouts.runner.tell()

    @property
    def weights(self) -> dict[str, float]:
        """That are in force, in percent."""
        return {each.name: each.weight / 100 for each in self.in_force.snapshot().endpoints}

    @property
    def weight(self) -> float:
        return self.weights["GET /a"]

    @property
    def state(self) -> str:
        return self.of().state

    def of(self, endpoint: str = "GET /a") -> Any:
        return next(
            each.position for each in self.rollouts.figures().rollouts if each.position.endpoint == endpoint
        )

    @property
    def on_workers(self) -> dict[str, float]:
        return {each.endpoint: each.weight / 100 for each in self.told.positions[-1].endpoints}

    def trials(
        self,
        fails: Callable[[int], bool] = lambda bucket: False,
        endpoint: str = "GET /a",
        worker: str = "w",
        version: str = "",
    ) -> None:
        """Each twentieth unit had a trial: as many on async as the weight says. Some of them failed."""
        units = range(0, UNITS, 20)
        label = self.of(endpoint).label
        failing = [unit for unit in units if fails(unit % 10_000)]
        report = UnitReport(
            endpoint, label, bits(units), bits(failing), b"", b"", (0, 0, 0, 0), (0, 0, 0, 0), version
        )
        self.record(worker, units=[report])

    def record(self, worker: str = "w", **found: Any) -> None:
        stats: Stats = msgspec.structs.replace(EMPTY, **found)
        self.collector.record(worker, stats)

    async def stored(self, endpoint: str = "GET /a") -> RolloutRow:
        async with rollouts.opened(self.url) as engine, engine.connect() as connection:
            return (await rollouts.rows(connection))[endpoint]

    async def audited(self) -> list[AuditEntry]:
        async with rollouts.opened(self.url) as engine, engine.connect() as connection:
            return await audit.entries(connection)


def bits(units: Any) -> bytes:
    found = bytearray(UNITS // 8)
    for unit in units:
        found[unit >> 3] |= 1 << (unit & 7)
    return bytes(found)


def on_async(bucket: int) -> bool:
    """At 25."""
    return bucket < 2500
