from __future__ import annotations

import time

import pytest

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Proceed, Refuse
from proxy.store import audit
from proxy.store.writes import NotSettled, Page, listing, page, settle
from tests.store.test_claims import ANSWER, opened, proceed, wanted

pytestmark = pytest.mark.anyio


async def lose(url: str, key: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.lose(await proceed(claims, wanted(key)), time.time()))


async def test_what_is_listed(url: str) -> None:
    assert await listing(url) == []
    await lose(url, "lost")
    async with opened(url) as claims:
        await claims.change(idem.complete(await proceed(claims, wanted("done")), ANSWER, time.time()))
    assert [record.key for record in await listing(url)] == ["done", "lost"]
    assert [record.key for record in await listing(url, "unknown")] == ["lost"]
    assert len(await listing(url, limit=1)) == 1


async def test_how_many_there_are_is_counted_where_only_some_are_listed(url: str) -> None:
    assert await page(url, "unknown") == Page([], 0)
    async with opened(url) as claims:
        for number in range(5):
            record = await proceed(claims, wanted(f"k{number}", f"t{number}"))
            if number < 3:
                await claims.change(idem.lose(record, time.time()))
    for state, total in (("unknown", 3), ("sent", 2)):
        found = await page(url, state, 2)  # type: ignore[arg-type]
        assert (len(found.records), found.total) == (2, total)
    assert (await page(url, None, 2)).total is None, "there may be millions"
    assert (await page(url, None, 9)).total == 5


async def test_settled_as_done_is_never_sent_again(url: str) -> None:
    await lose(url, "k")
    assert (await settle(url, "k", done=True, reason="seen", author="ada")).state == "completed"
    async with opened(url) as claims:
        verdict = await claims.claim(wanted("k", "t2"))
        assert isinstance(verdict, Refuse)
        assert verdict.kind == "idempotency_settled"


async def test_settled_as_not_done_runs_anew_and_its_late_answer_changes_nothing(url: str) -> None:
    async with opened(url) as claims:
        record = await proceed(claims, wanted("k"))
        await claims.change(idem.lose(record, time.time()))
        await settle(url, "k", done=False, reason="not in the ledger", author="ada")
        assert not await claims.change(idem.complete(record, ANSWER, time.time()))
        assert isinstance(await claims.claim(wanted("k", "t2")), Proceed)


async def test_settling_is_audited(url: str) -> None:
    await lose(url, "k")
    await settle(url, "k", done=True, reason="seen", author="ada")
    async with audit.opened(url) as engine, engine.connect() as connection:
        [entry] = await audit.entries(connection)
        assert await audit.entries(connection, action="other") == []
    assert (entry.author, entry.action) == ("ada", "settle")
    assert (entry.details["id"], entry.details["as"], entry.details["reason"]) == ("k", "done", "seen")
    assert abs(entry.time - time.time()) < 60


async def test_only_an_unknown_outcome_can_be_settled(url: str) -> None:
    with pytest.raises(NotSettled, match="there is no write"):
        await settle(url, "k", done=True, reason="x", author="ada")
    await lose(url, "k")
    await settle(url, "k", done=True, reason="x", author="ada")
    with pytest.raises(NotSettled, match="is completed"):
        await settle(url, "k", done=False, reason="x", author="ada")
