"""Balances and lists are cached only while the proxy's ledger shows that nobody else writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from async_api import ownership as module
from async_api.cache import Cache
from async_api.config import Settings
from async_api.database import Database
from async_api.outbox import Outbox
from async_api.ownership import WRITES, Ownership, objection
from tests.async_api.valkey import Valkey
from tests.contract.fixtures import Ledger
from tests.support.ports import free_port


def opened(url: str, redis: str) -> tuple[Database, Ownership]:
    settings = Settings(database_url=url, redis_url=redis, cache_owned=True, pool_min=0)
    database = Database(settings)
    return database, Ownership(settings, Outbox(database, Cache(settings), "x") if redis else None)


def test_a_database_without_the_migration_is_a_reason_to_refuse(
    new_ledger: Callable[[], Ledger], valkey: Valkey
) -> None:
    made = new_ledger()
    made.execute("DROP TABLE cache_readers CASCADE")

    async def scenario() -> str | None:
        database, ownership = opened(made.url, valkey.url)
        await database.open()
        try:
            assert ownership._outbox
            return await ownership._renew(ownership._outbox)
        finally:
            await database.close()

    assert "cache_readers" in str(asyncio.run(scenario()))


def test_a_lease_counts_once_all_older_transactions_have_ended(
    new_ledger: Callable[[], Ledger], valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have changed rows when the triggers did not write yet."""
    monkeypatch.setattr(module, "SETTLE", 0.1)
    made = new_ledger()

    async def scenario() -> list[str | None]:
        database, ownership = opened(made.url, valkey.url)
        await database.open()
        assert ownership._outbox
        with psycopg.connect(made.url) as older:
            older.execute("UPDATE accounts SET name = name WHERE id = %s", [made.accounts()[0]])
            found = [await ownership._renew(ownership._outbox)]
            assert not ownership.active
        found.append(await ownership._renew(ownership._outbox))
        assert ownership.active
        await database.close()
        return found

    assert asyncio.run(scenario()) == ["a transaction from before is still open", None]


def test_what_redis_cannot_be_told_stays_for_two_minutes(new_ledger: Callable[[], Ledger]) -> None:
    made = new_ledger()
    count = "SELECT count(*) FROM cache_outbox"

    async def scenario() -> None:
        database, ownership = opened(made.url, f"redis://127.0.0.1:{free_port()}")
        await database.open()
        assert ownership._outbox
        await ownership._outbox.extend(30)
        made.execute("UPDATE accounts SET name = name WHERE id = %s", made.accounts()[0])
        await ownership._outbox.drain()
        assert made.execute(count) == [(1,)]
        made.execute("UPDATE cache_outbox SET created_at = now() - interval '121 seconds'")
        await ownership._outbox.drain()
        assert made.execute(count) == [(0,)]
        await database.close()

    asyncio.run(scenario())


def test_without_redis_it_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    _, ownership = opened("postgresql://nowhere/x", "")
    asyncio.run(ownership.run())
    assert "CACHE_OWNED is refused: REDIS_URL is not set" in caplog.text
    assert not ownership.active


def ledger(**changes: dict[str, Any]) -> dict[str, Any]:
    rows = {name: {"endpoint": name, "weight": 100.0, "progress": "waiting", "legacy": {}} for name in WRITES}
    for name, change in changes.items():
        next(row for endpoint, row in rows.items() if name in endpoint.lower()).update(change)
    reading = {"endpoint": "GET /payments", "weight": 0.0, "progress": "not started", "legacy": {"weight": 3}}
    return {"endpoints": [reading, *rows.values()], "unlisted": [{"path": "GET /metrics", "hits": 3}]}


def test_all_writes_at_100_and_quiet_is_enough() -> None:
    assert objection(ledger()) is None
    assert objection(ledger(refunds={"progress": "done"})) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"put": {"weight": 99.99, "progress": "moving"}}, "PUT /accounts/{account_id} has weight 99.99"),
        ({"refunds": {"weight": 0.0, "progress": "not started"}}, "refunds has weight 0, so legacy still"),
        (
            {"refunds": {"progress": "legacy still hit", "legacy": {"owner": 2, "override": 1}}},
            "legacy was hit since (owner 2, override 1)",
        ),
    ],
)
def test_it_says_which_endpoint_stands_in_the_way(changes: dict[str, Any], reason: str) -> None:
    assert reason in str(objection(ledger(**changes)))


def test_a_write_that_the_proxy_does_not_list_goes_to_legacy() -> None:
    shown = ledger()
    shown["endpoints"] = shown["endpoints"][:-1]
    assert "does not list POST /payments/{payment_id}/refunds" in str(objection(shown))
    shown = ledger()
    shown["unlisted"].append({"path": "DELETE /accounts/{id}", "hits": 1})
    assert "legacy still gets DELETE /accounts/{id}" in str(objection(shown))
