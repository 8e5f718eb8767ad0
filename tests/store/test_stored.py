"""How many bytes of answers there are is kept count of, by all workers, through everything that happens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Proceed, Record, StoredAnswer
from proxy.store import Claims, claims_file, is_sqlite, writes
from proxy.store import claims as module
from proxy.store.engines import async_engine
from tests.store.test_claims import eventually, opened, wanted

pytestmark = pytest.mark.anyio

ANSWER = StoredAnswer(201, b"HTTP/1.1 201 Created\r\n", b"x" * 1000)
SIZE = len(ANSWER.head) + len(ANSWER.body)


@pytest.fixture(autouse=True)
def _keep_house_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING", 0.05)
    monkeypatch.setattr(module, "PRUNING", 0.1)


async def written(
    claims: Claims, key: str, answer: StoredAnswer | None = ANSWER, ttl: float = 60.0
) -> Record:
    request = wanted(key, token=f"t-{key}", incarnation=claims.incarnation, ttl=ttl)
    verdict = await claims.claim(request)
    assert isinstance(verdict, Proceed)
    assert await claims.change(idem.complete(verdict.record, answer, request.now))
    return verdict.record


async def told(claims: Claims, size: int) -> None:
    """By the store, not only by what this worker has added."""

    async def measured() -> bool:
        return claims._measured == size and claims.stored() == size

    await eventually(measured)


async def execute(url: str, statement: str) -> None:
    engine = async_engine(url, claims_file(url) if is_sqlite(url) else None)
    async with engine.begin() as connection:
        await connection.execute(sa.text(statement))
    await engine.dispose()


async def test_every_worker_knows_what_all_of_them_have_stored(url: str) -> None:
    async with opened(url, "a") as one, opened(url, "b") as two:
        await written(one, "k1")
        assert one.stored() == SIZE  # at once
        await written(two, "k2")
        await written(two, "without a body", None)
        await told(one, 2 * SIZE)
        await told(two, 2 * SIZE)
        assert await writes.stored(url) == 2 * SIZE
    async with opened(url, "c") as three:
        await told(three, 2 * SIZE)


async def test_what_did_not_get_into_the_store_does_not_count(url: str) -> None:
    async with opened(url) as claims:
        record = await written(claims, "k")
        late = idem.complete(replace(record, token="another"), ANSWER, 0.0)
        assert not await claims.change(late)
        await told(claims, SIZE)


async def test_what_has_expired_is_taken_off(url: str) -> None:
    async with opened(url) as claims:
        await written(claims, "lasting")
        await written(claims, "passing", ttl=0.2)
        await told(claims, SIZE)


async def test_a_key_that_is_used_again_after_its_time_is_taken_off(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNING", 60.0)
    async with opened(url) as claims:
        await written(claims, "k")
        await execute(url, "UPDATE claims SET expires_at = 1.0")
        again = await claims.claim(wanted("k", token="second"))
        assert isinstance(again, Proceed)
        await told(claims, 0)


async def test_answers_of_a_program_that_does_not_count_are_not_taken_off(url: str) -> None:
    async with opened(url) as claims:
        await written(claims, "counted")
        await written(claims, "uncounted")
        await execute(url, f"UPDATE claims_stored SET bytes = bytes - {SIZE} WHERE bytes > 0")
        await execute(url, "UPDATE claims SET size = NULL, expires_at = 1.0 WHERE key = 'uncounted'")

        async def pruned() -> bool:
            return len(await writes.listing(url)) == 1

        await eventually(pruned)
        await told(claims, SIZE)


async def test_nothing_is_stored_where_there_is_no_store_yet(url: str) -> None:
    assert await writes.stored(url) == 0
