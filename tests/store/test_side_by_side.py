"""Workers of version 0.1 and of today on one database: no key is executed twice.

`Old` does what version 0.1 did: its ids, its fingerprints, its columns, its rules.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.core.http1.request import RequestHead
from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import ClaimRequest, Proceed, Record, Replay
from proxy.edge.writes import Writes
from proxy.store import Claims, StoreUnavailable, claims_file, is_sqlite
from proxy.store.engines import async_engine
from proxy.store.writes import listing
from tests.edge.harness import snapshot
from tests.store.test_claims import ANSWER, opened
from tests.store.test_migrations import execute, make_0_1

pytestmark = pytest.mark.anyio

SNAPSHOT = snapshot("http://127.0.0.1:9", endpoints="POST /x: {weight: 0}")
TTL = SNAPSHOT.idempotency.ttl
USUAL, UNUSUAL = "Bearer t", "bearer  t"
CALLERS = [
    {"authorization": USUAL},
    {"authorization": UNUSUAL},
    {"authorization": "token x", "cookie": "a=1"},
    {"cookie": "session=alice", "x-api-key": "k"},
    {},
]
_tokens = itertools.count()

_CLAIM = sa.text("""
    INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token,
        created_at, updated_at, expires_at, status, head, body, note, doubtful)
    VALUES (:id, 'p', 'POST /x', :key, :fingerprint, 'legacy', 'sent', 'old', :token,
        :now, :now, :later, NULL, NULL, NULL, '', :no)
    ON CONFLICT (id) DO UPDATE SET updated_at = claims.updated_at RETURNING token
""")
_AGAIN = sa.text("""
    UPDATE claims SET fingerprint = :fingerprint, state = 'sent', incarnation = 'old', token = :token,
        updated_at = :now, expires_at = :later, status = NULL, head = NULL, body = NULL, note = ''
    WHERE id = :id AND token = :held AND state = :state
""")
_END = sa.text("UPDATE claims SET state = :state WHERE id = :id AND token = :token AND state = 'sent'")


def digest(*parts: bytes) -> str:
    found = blake2b(digest_size=16)
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


class Old:
    """A worker of version 0.1."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, key: str, fields: dict[str, str]) -> tuple[str, str]:
        """What becomes of the request, "send" or another word; and id and token of the claim."""
        now = time.time()
        given = fields.get("authorization")
        who = "anonymous" if given is None else digest(b"principal", given.encode())
        row: dict[str, Any] = {
            "id": digest(b"identity", who.encode(), b"POST", b"/x", key.encode()),
            "key": key,
            "fingerprint": digest(b"request", b"POST", b"/x", b"body"),
            "token": f"old-{next(_tokens)}",
            "now": now,
            "later": now + TTL,
            "no": False,
        }
        async with self._engine.begin() as connection:
            if (await connection.execute(_CLAIM, row)).scalar_one() == row["token"]:
                return "send", f"{row['id']} {row['token']}"
            query = sa.text("SELECT * FROM claims WHERE id = :id")
            found = (await connection.execute(query, row)).one()
            verdict = self._resolve(found, row)
            if verdict == "send":
                held = {**row, "held": found.token, "state": found.state}
                if (await connection.execute(_AGAIN, held)).rowcount != 1:
                    verdict = "changed meanwhile"
            return verdict, f"{row['id']} {row['token']}"

    def _resolve(self, found: Any, row: dict[str, Any]) -> str:
        if found.state in ("completed", "released") and row["now"] >= found.expires_at:
            return "send"
        if found.fingerprint != row["fingerprint"]:
            return "mismatch"
        return {"released": "send", "completed": "answer"}.get(found.state, "refuse")

    async def end(self, claim: str, state: str) -> None:
        id, token = claim.split()
        async with self._engine.begin() as connection:
            await connection.execute(_END, {"id": id, "token": token, "state": state})


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[Old, Claims]]:
    """A database that version 0.1 made, with a worker of either."""
    await make_0_1(url)
    engine = async_engine(url, claims_file(url) if is_sqlite(url) else None)
    try:
        async with opened(url, "new") as claims:
            await claims._keep_alive()  # upgraded before the old one goes on
            async with engine.begin() as connection:  # as its lease would
                await connection.execute(
                    sa.text("INSERT INTO incarnations (id, expires_at) VALUES ('old', :later)"),
                    {"later": time.time() + 600},
                )
            yield Old(engine), claims
    finally:
        await engine.dispose()


def asked(key: str, fields: dict[str, str]) -> ClaimRequest:
    writes = Writes(asyncio.get_running_loop(), SNAPSHOT.server.state, "new", ownership_off=False)
    head = RequestHead.of("POST", "/x", fields)
    token, endpoint = f"new-{next(_tokens)}", SNAPSHOT.endpoints[0]
    return writes.wanted(SNAPSHOT, endpoint, head, b"body", [key.encode()], "legacy", token)


async def end(claims: Claims, record: Record, state: str) -> None:
    now = time.time()
    changed = {
        "completed": lambda: idem.complete(record, ANSWER, now),
        "unknown": lambda: idem.lose(record, now),
        "released": lambda: idem.withdraw(record, now),
    }[state]()
    assert await claims.change(changed)


@pytest.fixture
def _lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old worker holds no lock on a file: with SQLite it would be taken for dead."""
    monkeypatch.setattr("proxy.store.life._is_dead", lambda _: False)


@pytest.mark.usefixtures("_lives")
async def test_no_key_is_executed_twice_whoever_gets_its_tries(url: str) -> None:
    chance, seen = random.Random(7), Counter[str]()
    async with both(url) as (old, new):
        for number in range(120):
            key, fields, executed = f"k{number}", chance.choice(CALLERS), 0
            for _ in range(6):
                outcome = chance.choice(["completed", "unknown", "released", "released"])
                by_old = chance.random() < 0.5
                if by_old:
                    verdict, claim = await old.claim(key, fields)
                    if verdict == "send":
                        await old.end(claim, outcome)
                else:
                    found = await new.claim(asked(key, fields))
                    verdict = "send" if isinstance(found, Proceed) else type(found).__name__
                    if isinstance(found, Proceed):
                        await end(new, found.record, outcome)
                seen[f"{'old' if by_old else 'new'} {verdict}"] += 1
                executed += verdict == "send" and outcome != "released"
            assert executed <= 1, (key, fields)
    each = {"old send", "new send", "old mismatch", "old refuse", "new Refuse", "new Replay"}
    assert each <= {name for name, count in seen.items() if count >= 5}, seen


@pytest.mark.usefixtures("_lives")
@pytest.mark.parametrize("fields", CALLERS)
async def test_of_many_workers_of_both_kinds_that_get_one_request_one_sends_it(
    url: str, fields: dict[str, str]
) -> None:
    async with both(url) as (old, new):
        by_old = asyncio.gather(*(old.claim("k", fields) for _ in range(6)))
        by_new = asyncio.gather(*(new.claim(asked("k", fields)) for _ in range(6)))
        verdicts, found = await by_old, await by_new
        sent = sum(verdict == "send" for verdict, _ in verdicts)
        assert sent + sum(isinstance(each, Proceed) for each in found) == 1


@pytest.mark.usefixtures("_lives")
@pytest.mark.parametrize("fields", CALLERS)
async def test_an_answer_that_the_old_one_stored_is_given_to_its_caller(
    url: str, fields: dict[str, str]
) -> None:
    async with both(url) as (old, new):
        verdict, claim = await old.claim("k", fields)
        assert verdict == "send"
        id, token = claim.split()
        held = replace(idem.send(idem.claim(asked("k", fields))), id=id, token=token)
        assert await new.change(idem.complete(held, ANSWER, time.time()))
        assert await new.claim(asked("k", fields)) == Replay("legacy", ANSWER)


@pytest.mark.usefixtures("_lives")
async def test_a_row_that_the_old_one_took_over_is_judged_by_its_fingerprint(url: str) -> None:
    """It leaves `fingerprint_version` as it finds it."""
    async with both(url) as (old, new):
        found = await new.claim(asked("k", {}))
        assert isinstance(found, Proceed)
        await end(new, found.record, "completed")
        await expire(url)
        verdict, claim = await old.claim("k", {})
        assert verdict == "send"
        await old.end(claim, "released")
        assert isinstance(await new.claim(asked("k", {})), Proceed)


async def test_a_marker_is_not_listed_and_goes_when_it_expires(url: str) -> None:
    async with opened(url, "new") as claims:
        assert isinstance(await claims.claim(asked("k", {"authorization": UNUSUAL})), Proceed)
        (shown,) = await listing(url)
        assert (shown.state, shown.note) == ("sent", "")
        assert await claims._prune() == 0
        await expire(url)
        assert await claims._prune() == 1
        (left,) = await execute(url, "SELECT note FROM claims")
        assert left.note == ""


@pytest.mark.usefixtures("_lives")
async def test_a_marker_lives_as_long_as_its_key_is_asked_for(url: str) -> None:
    async with both(url) as (old, new):
        for state in ("released", "completed"):
            found = await new.claim(asked("k", {"authorization": UNUSUAL}))
            assert isinstance(found, Proceed)
            await end(new, found.record, state)
            if state == "released":
                await expire(url)
        assert (await old.claim("k", {"authorization": UNUSUAL}))[0] == "refuse"


async def expire(url: str) -> None:
    await execute(url, "UPDATE claims SET expires_at = :past", past=time.time() - 60)


@pytest.mark.usefixtures("_lives")
async def test_a_claim_that_got_no_answer_is_let_go_of_under_both_ids(url: str) -> None:
    """What version 0.1 had released was taken over just when the store went away."""
    fields = {"authorization": UNUSUAL}
    async with both(url) as (old, new):
        _, claim = await old.claim("k", fields)
        await old.end(claim, "released")
        work = new._claim

        async def lost(wanted: ClaimRequest) -> Any:
            await work(wanted)
            raise StoreUnavailable("gone")

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(new, "_claim", lost)
            with pytest.raises(StoreUnavailable):
                await new.claim(asked("k", fields))
        await new._pay()
        assert isinstance(await new.claim(asked("k", fields)), Proceed)


@pytest.mark.usefixtures("_lives")
async def test_letting_go_leaves_the_marker(url: str) -> None:
    """Or the old worker would send what this one has executed."""
    fields = {"authorization": UNUSUAL}
    async with both(url) as (old, new):
        found = await new.claim(asked("k", fields))
        assert isinstance(found, Proceed)
        await end(new, found.record, "completed")
        again = asked("k", fields)
        assert isinstance(await new.claim(again), Replay)
        unsent = idem.withdraw(idem.send(idem.claim(again)), time.time())
        assert not await new.change(replace(unsent, id=again.former_id))
        assert (await old.claim("k", fields))[0] == "refuse"
