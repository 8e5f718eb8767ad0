"""Breaks things while the clients are at it: which and when is decided by the seed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx2

from tests.faults.clients import Clients
from tests.faults.relay import CUTS
from tests.faults.site import Site

LOCKED: Final = 1.5  # seconds for which the store is stopped
OTHERS: Final = ("flip_weight", "kill_legacy", "kill_async", "kill_worker", "kill_control", "stop_store")
KINDS: Final = (*OTHERS, *CUTS, "client_left")


class Injector:
    """`fired` says how often each fault really happened."""

    def __init__(self, site: Site, clients: Clients, seed: int) -> None:
        self._site = site
        self._clients = clients
        self._rng = random.Random(seed + 1)
        self.fired: Counter[str] = Counter()

    async def run(self, writes: int, faults: int, kinds: Sequence[str] = (*OTHERS, *CUTS)) -> None:
        """`faults` of them, evenly over the first nine tenths of the writes; each kind at least once."""
        often = [kind for kind in kinds if kind == "flip_weight" or kind in CUTS]
        plan = [*kinds, *self._rng.choices([*kinds, *often], k=max(0, faults - len(kinds)))]
        self._rng.shuffle(plan)
        for number, kind in enumerate(plan):
            due = 0.9 * writes * number / len(plan)
            while self._clients.done < due:  # noqa: ASYNC110 - an Event per write would be no clearer
                await asyncio.sleep(0.01)
            await self._inject(kind)

    def total(self) -> Counter[str]:
        return self.fired + self._site.cuts.fired + self._clients.fired

    async def _inject(self, kind: str) -> None:
        if kind in CUTS:
            self._site.cuts.waiting.append(next(cut for cut in CUTS if cut == kind))
            return
        actions: dict[str, Callable[[], Awaitable[bool]]] = {
            "flip_weight": self._flip_weight,
            "kill_legacy": self._kill_legacy,
            "kill_async": self._kill_async,
            "kill_worker": self._kill_worker,
            "kill_control": self._kill_control,
            "stop_store": self._stop_store,
        }
        if await actions[kind]():
            self.fired[kind] += 1

    async def _flip_weight(self) -> bool:
        self._site.set_weights(self._rng)
        return True

    async def _kill_legacy(self) -> bool:
        await self._site.kill_backend("legacy")
        return True

    async def _kill_async(self) -> bool:
        await self._site.kill_backend("async")
        return True

    async def _kill_worker(self) -> bool:
        """The control process may be on its way up again: then a little later."""
        for _ in range(50):
            with contextlib.suppress(httpx2.TransportError, ProcessLookupError):
                pids = await self._site.worker_pids()
                if pids:
                    os.kill(self._rng.choice(pids), signal.SIGKILL)
                    return True
            await asyncio.sleep(0.1)
        return False

    async def _kill_control(self) -> bool:
        self._site.proxy.kill(group=False)
        self._site.proxy.start()
        return True

    async def _stop_store(self) -> bool:
        with contextlib.closing(
            sqlite3.connect(self._site.claims, isolation_level=None, timeout=5)
        ) as locker:
            try:
                locker.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            await asyncio.sleep(LOCKED)
            locker.execute("ROLLBACK")
        return True
