"""Every pair of writes at once on the same accounts, half through each backend."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
import pytest

from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of, euros, ledger_problems, order
from tests.contract.test_accounts import open_account

EACH = 12  # requests of each of the two kinds
THREADS = 8


@dataclass(frozen=True)
class Parties:
    """Two accounts, and a payment from the first to the second that can be refunded many times."""

    first: str
    second: str
    payment: str


Write = Callable[[httpx2.Client, Parties], httpx2.Response]

WRITES: dict[str, Write] = {
    "pay": lambda api, on: api.post("/payments", json=order(on.first, on.second)),
    "pay back": lambda api, on: api.post("/payments", json=order(on.second, on.first)),
    "refund": lambda api, on: api.post(f"/payments/{on.payment}/refunds", json={"amount": euros("0.01")}),
    "replace": lambda api, on: api.put(f"/accounts/{on.first}", json={"name": "R", "status": "active"}),
    "open": lambda api, on: api.post(
        "/accounts", json={"name": "Race", "currency": "EUR", "opening_balance": euros("0.01")}
    ),
}
EXPECTED = {"pay": 201, "pay back": 201, "refund": 201, "replace": 200, "open": 201}


@pytest.fixture(scope="module")
def race_ledger(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


@pytest.fixture(scope="module")
def clients(race_ledger: Ledger) -> Iterator[list[httpx2.Client]]:
    """One client of each backend, both on the same database."""
    with (
        servers.legacy(race_ledger.url, WEB_CONCURRENCY="3") as legacy,
        servers.async_(race_ledger.url) as async_,
    ):
        pair = [client_of(server.url, race_ledger.api_key) for server in (legacy, async_)]
        yield pair
        for client in pair:
            client.close()


@pytest.mark.parametrize(
    ("one", "other"),
    list(itertools.combinations_with_replacement(WRITES, 2)),
    ids=lambda name: name.replace(" ", "-"),
)
def test_pair_of_writes(clients: list[httpx2.Client], race_ledger: Ledger, one: str, other: str) -> None:
    first, second = open_account(clients[0]), open_account(clients[1])
    paid = clients[0].post("/payments", json=order(first, second, "10.00"))
    stage = Parties(first, second, paid.json()["id"])
    jobs = [(name, client) for name in (one, other) for client in clients for _ in range(EACH // 2)]
    random.Random(f"{one} {other}").shuffle(jobs)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda job: (job[0], WRITES[job[0]](job[1], stage).status_code), jobs))
    assert Counter(answers) == Counter((name, EXPECTED[name]) for name, _ in jobs)
    replaced = sum(name == "replace" for name, _ in jobs)
    assert clients[1].get(f"/accounts/{first}").json()["version"] == 1 + replaced
    assert ledger_problems(race_ledger.url) == []


def test_the_last_money_is_spent_once(clients: list[httpx2.Client], race_ledger: Ledger) -> None:
    source, destination = open_account(clients[0], "5.00"), open_account(clients[1], "0.00")
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [
            pool.submit(client.post, "/payments", json=order(source, destination))
            for client in clients
            for _ in range(8)
        ]
        statuses = Counter(call.result().status_code for call in calls)
    assert statuses == {201: 5, 422: 11}
    assert clients[0].get(f"/accounts/{source}").json()["balance"] == euros("0.00")
    assert ledger_problems(race_ledger.url) == []


def test_a_payment_is_refunded_in_full_once(clients: list[httpx2.Client], race_ledger: Ledger) -> None:
    first, second = open_account(clients[0]), open_account(clients[1])
    payment = clients[0].post("/payments", json=order(first, second, "10.00")).json()["id"]
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [
            pool.submit(client.post, f"/payments/{payment}/refunds", json={})
            for client in clients
            for _ in range(6)
        ]
        statuses = Counter(call.result().status_code for call in calls)
    assert statuses == {201: 1, 422: 11}
    assert ledger_problems(race_ledger.url) == []
