"""A store that is slow for a while, and clients that try again: it recovers, and nothing stays owed."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from proxy.cli.demo.postgres import Postgres
from proxy.core import idempotency as idem
from proxy.core.idempotency import Proceed, Record, Replay
from proxy.store import Claims, StoreUnavailable
from tests.store.test_claims import ANSWER, execute, opened, wanted
from tests.store.test_clocks import states

pytestmark = pytest.mark.anyio

USUAL = 0.002  # seconds of the one processor of the database for each statement that writes
WRITES = 600
_tokens = itertools.count()

# One processor: whoever comes waits for those before, whether anybody still waits for the answer or not.
_ONE_PROCESSOR = (
    "CREATE TABLE cost (seconds DOUBLE PRECISION)",
    f"INSERT INTO cost VALUES ({USUAL})",
    """CREATE FUNCTION work() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(81); PERFORM pg_sleep(seconds) FROM cost; RETURN NULL; END'""",
    "CREATE TRIGGER work BEFORE INSERT OR UPDATE ON claims FOR EACH STATEMENT EXECUTE FUNCTION work()",
)


@dataclass
class Crowd:
    """Clients that all want one write each, and try until they know its outcome."""

    claims: Claims
    executed: Counter[str] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)  # seconds that a 503 took

    async def run(self, writes: int) -> None:
        await asyncio.gather(*(self._client(f"k{number}") for number in range(writes)))

    async def _client(self, key: str) -> None:
        for attempt in itertools.count():
            if await self._try(key):
                return
            await asyncio.sleep(min(1.0, 0.1 * 2**attempt) * (0.5 + random.random()))

    async def _try(self, key: str) -> bool:
        begun = time.monotonic()
        try:
            verdict = await self.claims.claim(wanted(key, f"t{next(_tokens)}"))
        except StoreUnavailable:
            self.refused.append(time.monotonic() - begun)
            return False
        if isinstance(verdict, Proceed):
            self.executed[key] += 1
            await self._save(idem.complete(verdict.record, ANSWER, time.time()))
            return True
        return isinstance(verdict, Replay) or getattr(verdict, "unknown", False)

    async def _save(self, done: Record) -> None:
        try:
            await self.claims.change(done)
        except StoreUnavailable:
            self.claims.owe(idem.lose(idem.send(idem.claim(wanted(done.key, done.token))), time.time()))


async def nothing_is_owed(claims: Claims) -> None:
    async with asyncio.timeout(10):
        while claims._owed:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_database_that_was_slow_recovers_under_its_clients_retries(postgres: Postgres) -> None:
    url = postgres.database("overload")
    async with opened(url) as claims:
        claims.held = list
        await claims.claim(wanted("first", "first"))
        for statement in _ONE_PROCESSOR:
            await execute(url, statement)
        await execute(url, "UPDATE cost SET seconds = 0.2")
        crowd = Crowd(claims)
        clients = asyncio.create_task(crowd.run(WRITES))
        await asyncio.sleep(8)
        assert not clients.done()
        await execute(url, "UPDATE cost SET seconds = :usual", usual=USUAL)
        refused_before = len(crowd.refused)
        async with asyncio.timeout(20):
            await clients
        await nothing_is_owed(claims)
        print(len(crowd.refused), len(crowd.refused) - refused_before, sorted(crowd.refused)[-5:])
    assert max(crowd.executed.values()) == 1
    quick = sum(seconds < 1.0 for seconds in crowd.refused)
    assert quick > 0.9 * len(crowd.refused), "they are told at once"
    left = {key: state for key, state in (await states(url)).items() if key != "first"}
    assert len(left) == WRITES
    assert set(left.values()) <= {"completed", "unknown"}
    postgres.drop("overload")
