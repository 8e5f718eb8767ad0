"""Does what the schedule says: one function for each kind of fault."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final, cast

import httpx2

from proxy.store import StoreUnavailable
from proxy.store.writes import NotSettled, listing, settle
from tests.faults.saturation.clients import Clients
from tests.faults.saturation.echo import Stall
from tests.faults.saturation.schedule import FILLING, Episode, Plan
from tests.faults.saturation.site import Site
from tests.faults.saturation.stores import PostgresqlStore, SqliteStore, stopped

SETTLED_AFTER: Final = 19.0  # seconds of a pause, when the lease of 15 has run out
OPERATOR: Final = 4.0  # seconds that an operator has until the worker wakes; what was not done comes first
ALL: Final = 100_000  # keys that are listed at most


class Faults:
    """`fired` says how often each kind really happened."""

    def __init__(self, site: Site, clients: Clients, seed: int) -> None:
        self._site = site
        self._clients = clients
        self._seed = seed
        self._rng = random.Random(seed + 1)
        self.fired: Counter[str] = Counter()

    async def run(self, plan: Plan) -> None:
        begun = time.monotonic()
        for episode in plan.episodes:
            await asyncio.sleep(begun + episode.at - time.monotonic())
            self._site.configure(episode.connections, episode.weight)
            await asyncio.sleep(FILLING)
            if await self._happens(episode):
                self.fired[episode.kind] += 1

    async def _happens(self, episode: Episode) -> bool:
        kind, seconds, store = episode.kind, episode.seconds, self._site.store
        if episode.target:
            return await self._backend(episode)
        if kind == "freeze_control":
            return await self._freeze(self._site.proxy.process.pid, seconds)
        if kind == "freeze_worker":
            pid = await self._worker()
            return pid is not None and await self._freeze(pid, seconds)
        if kind == "clock":
            pid = await self._worker()
            return pid is not None and await self._site.shift_clock(pid, seconds)
        if isinstance(store, SqliteStore):
            return await self._sqlite(store, kind, seconds)
        return await self._postgresql(store, kind, seconds)

    async def _backend(self, episode: Episode) -> bool:
        backend = self._site.backends[episode.target]
        if episode.kind == "frozen":
            return await self._freeze(backend.pid, episode.seconds)
        await backend.stall(cast(Stall, episode.kind), episode.seconds)
        await asyncio.sleep(episode.seconds)
        return True

    async def _freeze(self, pid: int, seconds: float) -> bool:
        with stopped([pid]):
            await asyncio.sleep(seconds)
        return True

    async def _worker(self) -> int | None:
        """One that serves; None: the control process does not say."""
        for _ in range(50):
            with contextlib.suppress(httpx2.TransportError):
                if pids := await self._site.worker_pids():
                    return self._rng.choice(pids)
            await asyncio.sleep(0.1)
        return None

    async def _sqlite(self, store: SqliteStore, kind: str, seconds: float) -> bool:
        if kind == "lock_store":
            return await store.lock(seconds)
        await store.delete(seconds)
        return True

    async def _postgresql(self, store: PostgresqlStore, kind: str, seconds: float) -> bool:
        match kind:
            case "slow_store":
                store.relay.hold_statements(seconds)
                await asyncio.sleep(seconds)
            case "late_statement":
                before = store.relay.delivered_late
                store.relay.delay_one(f"s{self._seed}-".encode(), seconds)
                await asyncio.sleep(seconds)
                return store.relay.delivered_late > before
            case "freeze_database":
                await store.freeze(seconds)
            case _:
                return await self._settle_paused(store, seconds)
        return True

    async def _settle_paused(self, store: PostgresqlStore, seconds: float) -> bool:
        """A worker is stopped as many answers of the store reach it; an operator settles what it left."""
        pid = await self._worker()
        if pid is None:
            return False
        store.relay.hold_answers(0.5)
        await asyncio.sleep(0.5 + 0.01 * self._rng.random())
        with stopped([pid]):
            await asyncio.sleep(SETTLED_AFTER)
            await self._operator()
            await asyncio.sleep(seconds - SETTLED_AFTER)
        return True

    async def _operator(self) -> None:
        """Looks into the owner's data, settles accordingly, and has clients try again what was not done."""
        url = self._site.store.url
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(OPERATOR):
                executed = await self._site.executed()
                unknown = await listing(url, "unknown", ALL)
                for record in sorted(unknown, key=lambda record: executed[record.key]):
                    done = bool(executed[record.key])
                    with contextlib.suppress(NotSettled):
                        author = f"pid {os.getpid()}"
                        await settle(url, record.id, done=done, reason="counted", author=author)
                        self._clients.told(record.key, done=done)


def find_libfaketime() -> str | None:
    """Debian's package faketime brings it."""
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    return str(found[0]) if found else None
