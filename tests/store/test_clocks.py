"""Clocks that differ, or are set, and workers that stood still."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Proceed, Refuse, Replay
from proxy.core.settings import ASYNC, LEGACY
from proxy.store import Claims, clock, postgresql
from proxy.store import claims as module
from proxy.store.writes import listing, settle
from tests.store.test_claims import ANSWER, age, execute, opened, proceed, wanted
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

DAY = 86400.0


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's clock is 25 h ahead of the database's."""
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + 25 * 3600)


async def test_a_replica_whose_clock_is_ahead_neither_deletes_nor_repeats(
    url: str, ahead: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as claims:
        monkeypatch.undo()
        done = idem.complete(await proceed(claims, wanted("k", ttl=DAY)), ANSWER, time.time())
        assert await claims.change(done)
    async with opened(url, "b") as claims:
        true = time.time()
        monkeypatch.setattr(time, "time", lambda: true + 25 * 3600)
        assert await claims._prune() == 0
        assert isinstance(await claims.claim(wanted("k", "t2", ASYNC, ttl=DAY)), Replay)


async def test_what_a_replica_whose_clock_is_ahead_or_behind_stores_expires_when_it_should(url: str) -> None:
    async with opened(url) as claims:
        for key, off in (("ahead", 25 * 3600), ("behind", -25 * 3600)):
            now = time.time() + off
            record = await proceed(claims, wanted(key, now=now, ttl=DAY))
            assert await claims.change(idem.complete(record, ANSWER, now + 1))
    for row in await execute(url, "SELECT created_at, updated_at, expires_at FROM claims"):
        assert abs(row.created_at - time.time()) < 60
        assert abs(row.updated_at - time.time()) < 60
        assert row.expires_at - row.updated_at == pytest.approx(DAY, abs=0.01)


async def test_a_claim_of_a_released_key_has_the_databases_time(url: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.release(await proceed(claims, wanted("k")), time.time()))
        await proceed(claims, wanted("k", "t2", now=time.time() + 25 * 3600))
    [row] = await execute(url, "SELECT updated_at FROM claims")
    assert abs(row.updated_at - time.time()) < 60


async def test_what_a_dead_worker_left_is_lost_at_the_databases_time(url: str, ahead: None) -> None:
    async with opened(url, "dead") as dead:
        await proceed(dead, wanted("k", incarnation="dead"))
    await execute(url, "UPDATE incarnations SET expires_at = 0 WHERE id = 'dead'")
    async with opened(url, "a") as claims:
        await claims._keep_alive()
    [record] = await listing(url, "unknown")
    assert record.updated_at < time.time() - 24 * 3600  # by the true clock it is now


async def test_nothing_expires_when_the_databases_clock_is_set_forward(url: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.complete(await proceed(claims, wanted("k", ttl=60.0)), ANSWER, time.time()))
        await claims._keep_alive()
        await age(url, 3600)  # as if its clock went on by an hour at once
        claims._clock._ahead -= 3600
        assert await claims._prune() == 0
        assert isinstance(await claims.claim(wanted("k", "t2")), Replay)


def test_a_clock_that_is_set_back_is_the_one_to_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "elapsed", lambda: 100.0)
    seen = clock.Clock()
    assert seen.latest() == float("inf")
    for now in (5000.0, 4000.0, 9000.0):
        seen.see(now)
    assert seen.latest() == 4000.0 + clock.SLACK
    monkeypatch.setattr(clock, "elapsed", lambda: 110.0)
    assert seen.latest() == 4010.0 + clock.SLACK


def test_the_clock_for_spans_of_time_goes_on() -> None:
    first = clock.elapsed()
    assert clock.elapsed() >= first


# a worker that stood still


async def test_a_claim_is_confirmed_while_it_is_held(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k"))
        assert await claims.confirm(record)
        assert not await claims.confirm(replace(record, token="other"))
        await claims.change(idem.lose(record, time.time()))
        assert not await claims.confirm(record)


async def test_what_others_took_for_dead_and_an_operator_settled_is_not_confirmed(url: str) -> None:
    async with opened(url, "slept") as sleeper:
        record = await proceed(sleeper, wanted("k", incarnation="slept"))
        sleeper._housekeeper.cancel()
        await execute(url, "UPDATE claims SET incarnation = 'gone'")
        async with opened(url, "a") as other:
            await other._keep_alive()
            assert await listing(url, "unknown")
            await settle(url, "k", done=False, reason="no row", author="ada")
            assert not await sleeper.confirm(record)
            assert not await sleeper.change(idem.withdraw(record, time.time()))
            assert isinstance(await other.claim(wanted("k", "t2")), Proceed)
            assert not await sleeper.confirm(record)


async def test_a_worker_whose_lease_may_be_over_renews_it_before_it_confirms(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its claim would be confirmed, and be taken from it a moment later."""
    url = postgres.database("confirm_lease")
    async with opened(url, "slept") as sleeper:
        assert isinstance(sleeper, postgresql.PostgresqlClaims)
        record = await proceed(sleeper, wanted("k", incarnation="slept"))
        sleeper._housekeeper.cancel()
        await execute(url, "UPDATE incarnations SET expires_at = 0")
        sleeper._renewed -= postgresql.OWN_LEASE + 1
        assert await sleeper.confirm(record)
        [row] = await execute(url, "SELECT expires_at FROM incarnations WHERE id = 'slept'")
        assert row.expires_at > time.time()
    postgres.drop("confirm_lease")


def test_a_claim_is_old_well_before_its_lease_ends() -> None:
    assert module.OLD + module.CLAIM_TIMEOUT < postgresql.LEASE - postgresql.OWN_LEASE


# claims that nothing holds


async def compare(claims: Claims) -> None:
    """As housekeeping does, and it may be doing the same."""
    await claims._compare()


async def states(url: str) -> dict[str, str]:
    return {row.key: row.state for row in await execute(url, 'SELECT "key", state FROM claims')}


async def test_a_claim_that_comes_late_into_the_store_becomes_unknown_and_is_listed(url: str) -> None:
    async with opened(url, held=lambda: ["t1"]) as claims:
        await proceed(claims, wanted("held", "t1"))
        late = idem.send(idem.claim(wanted("late", "t2")))
        await proceed(claims, wanted("late", late.token))  # its release came before it, and found nothing
        await compare(claims)
        assert await states(url) == {"held": "sent", "late": "sent"}, "both are young"
        await age(url, module.UNHELD + 1)
        await compare(claims)
        assert await states(url) == {"held": "sent", "late": "unknown"}
        assert [record.key for record in await listing(url, "unknown")] == ["late"]


async def test_what_is_owed_or_being_changed_is_held(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(url, held=tuple) as claims:
        claims._housekeeper.cancel()
        owed = await proceed(claims, wanted("owed", "t1"))
        busy = await proceed(claims, wanted("busy", "t2"))
        await age(url, module.UNHELD + 1)
        claims.owe(idem.release(owed, time.time()))
        gate = asyncio.Event()
        change = claims._change

        async def slow(record: idem.Record) -> bool:
            await gate.wait()
            return await change(record)

        monkeypatch.setattr(claims, "_change", slow)
        changing = asyncio.create_task(claims.change(idem.complete(busy, ANSWER, time.time())))
        await asyncio.sleep(0)
        await compare(claims)
        assert await states(url) == {"owed": "sent", "busy": "sent"}
        gate.set()
        assert await changing
        await compare(claims)
        assert await states(url) == {"owed": "sent", "busy": "completed"}


async def test_what_is_beyond_the_bound_of_what_is_owed_becomes_unknown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OWED", 0)
    async with opened(url, held=tuple) as claims:
        claims.owe(idem.release(await proceed(claims, wanted("k")), time.time()))
        await age(url, module.UNHELD + 1)
        await compare(claims)
        assert await states(url) == {"k": "unknown"}


async def test_what_other_workers_have_under_way_is_theirs(url: str) -> None:
    async with opened(url, "a") as one, opened(url, "b", tuple) as other:
        await proceed(one, wanted("k"))
        await age(url, module.UNHELD + 1)
        await compare(other)
        assert await states(url) == {"k": "sent"}


async def test_behind_many_that_are_held_the_one_that_is_not_is_found(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("proxy.store.claims.PAGE", "proxy.store.statements.PAGE"):
        monkeypatch.setattr(place, 2)
    async with opened(url, held=lambda: [f"t{number}" for number in range(4)]) as claims:
        claims._housekeeper.cancel()
        for number in range(5):
            await proceed(claims, wanted(f"k{number}", f"t{number}"))
        await age(url, module.UNHELD + 1)
        for _ in range(3):
            await compare(claims)
        assert (await states(url))["k4"] == "unknown"
        assert sum(state == "sent" for state in (await states(url)).values()) == 4


async def test_house_keeping_compares(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.01)
    async with opened(url, held=tuple) as claims:
        await proceed(claims, wanted("k"))
        await age(url, module.UNHELD + 1)
        assert await eventually_async(lambda: listing(url, "unknown"))


# what the store keeps of earlier attempts


async def test_a_key_of_which_nothing_ever_left_follows_the_weight(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k", backend=ASYNC))
        assert await claims.change(idem.withdraw(record, time.time()))
        again = await proceed(claims, wanted("k", "t2", LEGACY))
        assert again.owner == LEGACY
        assert await claims.change(idem.withdraw(again, time.time()))
        assert (await proceed(claims, wanted("k", "t3", ASYNC))).owner == ASYNC


async def test_a_worker_that_knows_no_earlier_attempts_does_not_let_a_key_follow_the_weight(url: str) -> None:
    """A claim that failed half-way is withdrawn without knowledge of what was before it."""
    async with opened(url) as claims:
        await claims.change(idem.release(await proceed(claims, wanted("k")), time.time()))
        await proceed(claims, wanted("k", "t2", ASYNC))
        ignorant = idem.withdraw(idem.send(idem.claim(wanted("k", "t2", ASYNC))), time.time())
        assert ignorant.unsent == "t2"
        assert await claims.change(ignorant)
        verdict = await claims.claim(wanted("k", "t3", ASYNC))
        assert isinstance(verdict, Proceed)
        assert (verdict.existing, verdict.record.owner) == (True, LEGACY)


async def test_a_key_released_by_a_5xx_is_unknown_when_its_owner_may_have_forgotten_it(url: str) -> None:
    given: dict[str, Any] = {"ttl": DAY, "idempotent": frozenset({LEGACY})}
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k", **given))
        await age(url, 20 * 3600)
        assert await claims.change(idem.release(record, time.time(), failed=True))
        again = await claims.claim(wanted("k", "t2", **given))
        assert isinstance(again, Proceed)
        assert await claims.change(idem.withdraw(replace(again.record, failed=False), time.time()))
        await age(url, 20 * 3600)
        refused = await claims.claim(wanted("k", "t3", **given))
        assert isinstance(refused, Refuse)
        assert refused.unknown
        assert [record.key for record in await listing(url, "unknown")] == ["k"]
        await settle(url, "k", done=False, reason="not there", author="ada")
        assert isinstance(await claims.claim(wanted("k", "t4", **given)), Proceed)
