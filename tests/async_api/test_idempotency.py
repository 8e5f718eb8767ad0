"""Keys over HTTP, against a real server and database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import httpx2
import psycopg
import pytest

from tests import plain
from tests.contract.fixtures import Ledger, client_of, order, problem
from tests.contract.servers import Server


@pytest.fixture
def api(async_server: Server, ledger: Ledger) -> Iterator[httpx2.Client]:
    with client_of(async_server.url, ledger.api_key) as client:
        yield client


def fresh() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


def pay(ledger: Ledger, amount: str = "1.00", **more: object) -> dict[str, object]:
    source, destination, *_ = ledger.accounts()
    return order(source, destination, amount, **more)


def count(ledger: Ledger, description: str) -> int:
    return int(ledger.execute("SELECT count(*) FROM payments WHERE description = %s", description)[0][0])


def test_a_repetition_gets_the_first_answer_and_is_not_executed(api: httpx2.Client, ledger: Ledger) -> None:
    name, key = uuid.uuid4().hex, uuid.uuid4().hex
    first = api.post("/payments", json=pay(ledger, description=name), headers={"idempotency-key": key})
    second = api.post(
        "/payments", json=pay(ledger, description=name), headers={"idempotency-key": f'"{key}"'}
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert count(ledger, name) == 1


def test_every_write_takes_keys(api: httpx2.Client, ledger: Ledger) -> None:
    opening, keys = {"name": "Ada", "currency": "EUR"}, [fresh() for _ in range(3)]
    accounts = [api.post("/accounts", json=opening, headers=keys[0]).json() for _ in range(2)]
    assert accounts[0] == accounts[1]
    change = {"name": "Ada King", "status": "active"}
    changed = [
        api.put(f"/accounts/{accounts[0]['id']}", json=change, headers=keys[1]).json() for _ in range(2)
    ]
    assert [account["version"] for account in changed] == [2, 2]
    payment = api.post("/payments", json=pay(ledger)).json()
    refunds = [
        api.post(f"/payments/{payment['id']}/refunds", json={}, headers=keys[2]).json() for _ in range(2)
    ]
    assert refunds[0] == refunds[1]
    assert api.get(f"/payments/{payment['id']}").json()["status"] == "refunded"


def test_another_request_with_the_same_key_is_refused(api: httpx2.Client, ledger: Ledger) -> None:
    headers = fresh()
    api.post("/payments", json=pay(ledger, "1.00"), headers=headers)
    answer = api.post("/payments", json=pay(ledger, "2.00"), headers=headers)
    assert problem(answer) == (422, "idempotency-key-reused")


def test_what_was_rolled_back_leaves_the_key_free(api: httpx2.Client, ledger: Ledger) -> None:
    headers = fresh()
    refused = api.post("/payments", json=pay(ledger, "99999999.00"), headers=headers)
    assert problem(refused) == (422, "insufficient-funds")
    assert api.post("/payments", json=pay(ledger), headers=headers).status_code == 201


@pytest.mark.parametrize("key", ['"open', '""', "x" * 256])
def test_a_key_that_is_none_is_refused(api: httpx2.Client, ledger: Ledger, key: str) -> None:
    answer = api.post("/payments", json=pay(ledger), headers={"idempotency-key": key})
    assert problem(answer) == (400, "idempotency-key-invalid")


def test_while_the_first_runs_the_others_are_refused(api: httpx2.Client, ledger: Ledger) -> None:
    """The first waits for an account that somebody else has locked."""
    name, headers = uuid.uuid4().hex, fresh()
    body = pay(ledger, description=name)

    async def race() -> tuple[httpx2.Response, httpx2.Response]:
        async with plain.async_client(base_url=api.base_url, headers=api.headers) as client:
            with psycopg.connect(ledger.url) as locker:
                locker.execute("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE", [body["source_account_id"]])
                first = asyncio.create_task(client.post("/payments", json=body, headers=headers, timeout=30))
                async with asyncio.timeout(20):
                    while not ledger.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                second = await client.post("/payments", json=body, headers=headers)
            return await first, second

    first, second = asyncio.run(race())
    assert first.status_code == 201
    assert problem(second) == (409, "idempotency-key-in-use")
    assert count(ledger, name) == 1


def test_old_keys_are_forgotten_and_removed(api: httpx2.Client, ledger: Ledger) -> None:
    name, headers = uuid.uuid4().hex, fresh()
    body = pay(ledger, description=name)
    api.post("/payments", json=body, headers=headers)
    ledger.execute("UPDATE idempotency_keys SET created_at = created_at - interval '2 days'")
    assert "idempotent-replayed" not in api.post("/payments", json=body, headers=headers).headers
    assert count(ledger, name) == 2
    before = int(ledger.execute("SELECT count(*) FROM idempotency_keys")[0][0])
    api.post("/payments", json=pay(ledger), headers=fresh())
    assert int(ledger.execute("SELECT count(*) FROM idempotency_keys")[0][0]) <= before + 1
