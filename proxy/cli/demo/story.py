"""The migration, step by step; each step checks what it claims."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from proxy.cli.demo import claims, routing
from proxy.cli.demo.admin import Admin
from proxy.cli.demo.claims import SOUND_VERSION, Claim
from proxy.cli.demo.guarded import failing_users
from proxy.cli.demo.rollouts import Guarded
from proxy.cli.demo.routing import QUOTES, WRITE, WRITES
from proxy.cli.demo.screen import Screen
from proxy.cli.demo.services import SOUND, Site
from proxy.cli.demo.tally import StepTally
from proxy.cli.demo.traffic import QUIET, RATE, LoadGenerator

BROKEN = "endpoints: [this is not a table\n"
RECOVERY = 60.0
"""Seconds in which async must have all of its reads back after a restart."""
EVIDENCE = 120.0
"""Seconds in which comparisons must have come to a verdict."""
FAULTY_FIELD = "converted.amount"
MOMENT = 0.5
"""Seconds of traffic before and after the kill that count as the moment of it."""


@dataclass(slots=True)
class Story:
    """One telling. `pause`: seconds for which each step is watched."""

    site: Site
    admin: Admin
    traffic: LoadGenerator
    screen: Screen
    pause: float

    async def tell(self) -> bool:
        """The whole story; whether every claim held."""
        await self.at_rest()
        guarded = Guarded(self.site, self.admin, self.traffic, self.screen)
        await guarded.bad_build()
        await self.differences()
        await self.repair(guarded)
        await guarded.repaired_build()
        await self.writes()
        await self.broken_file()
        await self.outage()
        await self.equality()
        await self.reckoning()
        self.screen.rollouts = [each.line() for each in guarded.attempts]
        self.screen.failed_by_bad_build = guarded.attempts[0].failed_reads
        self.screen.claim(failing_users(guarded.attempts))
        return self.screen.summary(self.traffic.total())

    async def watch(self) -> StepTally:
        """What clients see from now on, after `pause` seconds of it."""
        tally = self.traffic.begin()
        await asyncio.sleep(self.pause)
        return tally

    async def at_rest(self) -> None:
        self.screen.step("Reads move by themselves: 0 -> 10 -> 50 -> 100 percent of the users")
        tally = self.traffic.begin()
        await asyncio.gather(asyncio.sleep(self.pause), self.refused_write())
        self.screen.claim(claims.split(tally, 0, set()))
        self.screen.claim(claims.no_failed_reads(tally, "at 0 %"))

    async def differences(self) -> None:
        self.screen.step("QA looks at what differs")
        self.screen.say(f"  {self.admin.url}/differences")
        verdicts = await self._verdicts(lambda found: bool(claims.differing(found)))
        weight = next(each["weight"] for each in await self.admin.endpoints() if each["endpoint"] == QUOTES)
        example = _example(await self.admin.samples(QUOTES, FAULTY_FIELD))
        self.screen.claim(claims.fault_found(verdicts, weight, example))

    async def repair(self, guarded: Guarded) -> None:
        """The next build runs beside the former one, and takes its place when it is ready."""
        self.screen.step(f"Both faults are repaired in version {SOUND['APP_VERSION']}")
        meanwhile = self.traffic.begin()
        await guarded.deploy()
        verdicts = await self._verdicts(lambda found: claims.all_equal(found, SOUND_VERSION).held)
        self.screen.claim(claims.fault_gone(verdicts))
        self.screen.claim(claims.no_failed_reads(meanwhile, "while async was replaced"))

    async def equality(self) -> None:
        self.screen.step("How reliable the comparison is")
        verdicts = await self._verdicts(lambda found: claims.all_equal(found, SOUND_VERSION).held)
        self.screen.claim(claims.all_equal(verdicts, SOUND_VERSION))

    async def _verdicts(self, enough: Callable[[claims.Verdicts], bool]) -> claims.Verdicts:
        """What comparisons say, once it is enough or EVIDENCE is over."""
        deadline = time.monotonic() + EVIDENCE
        self.traffic.rate = QUIET
        found = await self.admin.verdicts()
        while not enough(found) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            found = await self.admin.verdicts()
        self.traffic.rate = RATE
        return found

    async def refused_write(self) -> None:
        before = (await self.admin.config())["hash"]
        ran = await self.admin.set(WRITE, 50, self.site.routing)
        after = (await self.admin.config())["hash"]
        held = ran.code == 2 and before == after and "phase" in ran.output
        self.screen.say(f"  $ strangler set '{WRITE}' 50 --config {self.site.routing}")
        reason = " ".join(ran.output.split())
        self.screen.claim(
            Claim(
                f"{WRITE} may not move before the reads",
                held,
                f"exit {ran.code}, table unchanged: {reason[:300]}",
            )
        )

    async def writes(self) -> None:
        self.screen.step("Writes follow")
        verdicts = await self._verdicts(lambda found: claims.rehearsed(found).held)
        self.screen.claim(claims.rehearsed(verdicts))
        self.screen.say(
            f"  $ strangler set '{WRITE}' 100 --config {self.site.routing} --admin {self.admin.url}"
        )
        ran = await self.admin.set(WRITE, 100, self.site.routing)
        self.screen.claim(
            Claim("the same command works now", ran.code == 0, f"exit {ran.code}: {ran.output}")
        )
        self.screen.say(f"  {self.site.routing}: weight: 100 on the lines of the other writes, saved")
        before = (await self.admin.config())["hash"]
        routing.set_weight(self.site.routing, WRITES, 100)
        await self.admin.everywhere(before)
        tally = await self.watch()
        self.screen.claim(claims.writes_moved(tally))
        self.screen.claim(claims.no_failed_reads(tally, "meanwhile"))

    async def broken_file(self) -> None:
        self.screen.step("A broken routing.yaml is saved")
        good = self.site.routing.read_text()
        before = (await self.admin.config())["hash"]
        self.site.routing.write_text(good + BROKEN)
        watching = self.traffic.begin()
        try:
            config = await self.admin.refusal()
            await asyncio.sleep(self.pause / 2)
        finally:
            self.site.routing.write_text(good)
        kept = config["hash"] == before and all(worker["hash"] == before for worker in config["workers"])
        failed = watching.failed(read=True) + watching.failed(read=False)
        sent = watching.count(read=True) + watching.count(read=False)
        evidence = f"{failed} of {sent} requests failed; the admin port says: {_first(config)}"
        self.screen.claim(
            Claim("the last good table stays in force", kept and not failed and sent > 0, evidence)
        )

    async def outage(self) -> None:
        self.screen.step("The async backend is killed, and comes back")
        self.screen.say(
            "  (no statements during this step: a stream that is cut in the middle can only be aborted)"
        )
        self.traffic.streams = False
        await self.traffic.pause()
        self.traffic.resume()
        dying = self.traffic.begin()
        await asyncio.sleep(MOMENT)
        await asyncio.to_thread(self.site.async_.kill)
        await asyncio.sleep(MOMENT)
        tally = await self.watch()
        self.screen.claim(claims.no_failed_reads(dying, "at the moment of the kill"))
        self.screen.claim(claims.fell_back(tally))
        self.site.async_.start()
        started = time.monotonic()
        mark = len(self.traffic.tallies)
        self.traffic.begin()
        await asyncio.to_thread(self.site.async_.wait_until_ready, self.site.repaired_health)
        while (latest := await self._second()).share() < 100:
            if time.monotonic() - started > RECOVERY:
                break
        took = time.monotonic() - started
        evidence = f"{latest.share():.0f} % of reads {took:.1f} s after its restart"
        self.screen.claim(Claim("async gets its reads back by itself", latest.share() == 100, evidence))
        meanwhile = StepTally.of(*self.traffic.tallies[mark:])
        self.screen.claim(claims.no_failed_reads(meanwhile, "while it came back"))
        self.traffic.streams = True

    async def _second(self) -> StepTally:
        tally = self.traffic.begin()
        await asyncio.sleep(1)
        return tally

    async def reckoning(self) -> None:
        """Traffic rests; the books are checked from the database alone."""
        self.screen.step("The books")
        await self.traffic.pause()
        exact, output = await asyncio.to_thread(self.site.check_ledger)
        found, distinct = await asyncio.to_thread(_payments_made, self.site.database_url)
        self.traffic.resume()
        self.screen.claim(Claim("the ledger is exact", exact, output))
        self.screen.claim(claims.paid_once(self.traffic.total(), found, distinct))
        if (dead := self.site.dead()) is not None:
            self.screen.claim(Claim("every process is up", False, f"{dead} ended by itself"))


def _first(config: dict[str, Any]) -> str:
    """The first of the errors for which the file on disk was refused."""
    error = config["last_error"]["errors"][0]
    return f"line {error['line']}, column {error['column']}: {error['message']}"


def _example(samples: Sequence[dict[str, Any]]) -> str:
    """The newest sample in which the amount differs, on one line."""
    for sample in samples:
        for each in sample["differences"]:
            if each["path"] == FAULTY_FIELD:
                return f"{sample['request']['path']}: legacy {each['legacy']}, async {each['async']}"
    return "no example"


def _payments_made(url: str) -> tuple[int, int]:
    """Payments that the demo's traffic made, and how many different ones it asked for among them."""
    query = "SELECT count(*), count(DISTINCT description) FROM payments WHERE description LIKE 'demo %'"
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]
