"""The part of the story that tells itself: the proxy moves the reads, and moves them back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.cli.demo import claims, guarded, routing
from proxy.cli.demo.admin import Admin
from proxy.cli.demo.claims import FAULTY_VERSION, SOUND_VERSION
from proxy.cli.demo.guarded import BuildRollout
from proxy.cli.demo.routing import ACCOUNT, FIRST, READS, STEPS
from proxy.cli.demo.screen import Screen
from proxy.cli.demo.services import Site
from proxy.cli.demo.tally import StepTally
from proxy.cli.demo.traffic import LoadGenerator
from proxy.core.settings import ASYNC

PATIENCE = 150.0
"""Seconds in which a rollout must have come back, or to its end."""
SLICE = 0.5
"""Seconds of traffic that are counted together."""

Rollouts = Sequence[dict[str, Any]]


@dataclass(slots=True)
class Guarded:
    site: Site
    admin: Admin
    traffic: LoadGenerator
    screen: Screen
    attempts: list[BuildRollout] = field(default_factory=list)
    _told: dict[str, tuple[object, ...]] = field(default_factory=dict)  # what was said last, by endpoint

    async def bad_build(self) -> None:
        """The accounts go first, with a build that no comparison finds fault with."""
        self.screen.say(f"  {self.site.routing}: rollout: {routing.PLAN} on the lines of the accounts, saved")
        async with self._slices() as slices:
            await self._save(lambda: routing.roll_out(self.site.routing, FIRST))
            self.site.repaired.start()  # it takes a while, and nobody sends it anything yet
            await self._until(_fell)
            await asyncio.sleep(guarded.SETTLE)  # until every worker has heard of it
        attempt = BuildRollout(FAULTY_VERSION, await self.admin.changes(), slices, FIRST)
        self.attempts.append(attempt)
        self.screen.claim(guarded.rolled_back(attempt))
        self.screen.claim(guarded.few_noticed(attempt))
        self.screen.say(f"  $ strangler rollout show '{ACCOUNT}' --admin {self.admin.url}")
        shown, tally = await asyncio.gather(self.admin.rollout("show", ACCOUNT), self._second())
        for line in shown.lines:
            self.screen.say(f"    {line}")
        self.screen.claim(claims.split(tally, 0, set()))
        self.screen.claim(claims.no_failed_reads(tally, "after it"))

    async def deploy(self) -> None:
        """The repaired build in place of the other one."""
        site, ports = self.site, self.site.ports
        await asyncio.to_thread(site.repaired.wait_until_ready, site.repaired_health)
        self.screen.say(f"  {site.routing}: the url of async is that of {SOUND_VERSION}, saved")
        await self._save(lambda: routing.deploy(site.routing, ports.async_, ports.repaired))
        former, site.async_ = site.async_, site.repaired
        await asyncio.to_thread(former.stop)

    async def repaired_build(self) -> None:
        """All reads, with the next build."""
        before = len(await self.admin.changes())
        rest = [each for each in READS if each not in FIRST]
        self.screen.say(
            f"  {self.site.routing}: rollout: {routing.PLAN} on the lines of the other reads, saved"
        )
        self.screen.say(f"  $ strangler rollout retry '{ACCOUNT}' --admin {self.admin.url}")
        async with self._slices() as slices:
            retried, _ = await asyncio.gather(
                self.admin.rollout("retry", ACCOUNT, "--reason", f"{SOUND_VERSION} is repaired"),
                self._save(lambda: routing.roll_out(self.site.routing, rest)),
            )
            for line in retried.lines:
                self.screen.say(f"    {line}")
            await self._until(_over)
        attempt = BuildRollout(SOUND_VERSION, (await self.admin.changes())[before:], slices)
        self.attempts.append(attempt)
        self.screen.claim(guarded.went_to_the_end(attempt, await self.admin.rollouts()))
        self._splits(attempt)
        whole = StepTally.of(*slices)
        self.screen.claim(claims.no_failed_reads(whole, "while async went from 0 to 100 %"))

    def _splits(self, attempt: BuildRollout) -> None:
        on_async: set[tuple[str, str]] = set()
        for weight in STEPS[1:]:
            tally = attempt.step(weight)
            self.screen.split(weight, tally)
            self.screen.claim(claims.split(tally, weight, on_async))
            on_async |= tally.on(ASYNC)

    @asynccontextmanager
    async def _slices(self) -> AsyncIterator[list[StepTally]]:
        """What clients see in this block, slice by slice; complete after it."""
        found: list[StepTally] = []
        slicing = asyncio.create_task(self._slice(found))
        try:
            yield found
        finally:
            slicing.cancel()
            await asyncio.wait([slicing])
            self.traffic.begin()

    async def _slice(self, found: list[StepTally]) -> None:
        while True:
            found.append(self.traffic.begin())
            await asyncio.sleep(SLICE)

    async def _until(self, over: Callable[[Rollouts], bool]) -> None:
        """Says what happens, until it is over or nobody has patience any more."""
        deadline = time.monotonic() + PATIENCE
        found = await self.admin.rollouts()
        while not over(found) and time.monotonic() < deadline:
            self._say(found)
            await asyncio.sleep(SLICE)
            found = await self.admin.rollouts()
        self._say(found)

    def _say(self, found: Rollouts) -> None:
        """What is new, once for endpoints of which the same can be said."""
        news: dict[str, list[str]] = {}
        for each in found:
            now = (each["attempt"], each["state"], each["weight"])
            if self._told.get(each["endpoint"]) != now:
                self._told[each["endpoint"]] = now
                text = f"{each['state'].replace('_', ' ')} at {each['weight']:g} %: {each['reason']}"
                news.setdefault(text, []).append(each["endpoint"])
        for text, endpoints in news.items():
            self.screen.say(f"    {', '.join(endpoints)}: {text}")

    async def _save(self, edit: Callable[[], None]) -> None:
        before = (await self.admin.config())["hash"]
        edit()
        await self.admin.everywhere(before)

    async def _second(self) -> StepTally:
        tally = self.traffic.begin()
        await asyncio.sleep(1)
        return tally


def _fell(found: Rollouts) -> bool:
    return [each["state"] for each in found] == ["rolled_back"] * len(FIRST)


def _over(found: Rollouts) -> bool:
    """All reads are through, or one was rolled back."""
    states = [each["state"] for each in found]
    return states == ["done"] * len(READS) or "rolled_back" in states
