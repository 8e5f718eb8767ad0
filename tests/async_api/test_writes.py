"""Dry runs over HTTP, against a real server and database."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.contract import servers
from tests.contract.fixtures import (
    Ledger,
    client_of,
    euros,
    ledger_problems,
    order,
    problem,
)
from tests.contract.servers import Server

DRY = {"x-dry-run": "1"}
TABLES = ("accounts", "payments", "refunds", "ledger_transactions", "entries", "idempotency_keys")


@pytest.fixture
def api(async_server: Server, ledger: Ledger) -> Iterator[httpx2.Client]:
    with client_of(async_server.url, ledger.api_key) as client:
        yield client


def rows(ledger: Ledger) -> dict[str, list[Any]]:
    """Every row of every table, whole."""
    return {
        table: [row for (row,) in ledger.execute(f"SELECT t::text FROM {table} t ORDER BY 1")]
        for table in TABLES
    }


def kinds(ledger: Ledger, payment: str, mark: str) -> list[tuple[str, str, dict[str, object]]]:
    """One write of each kind: method, path, body."""
    source, destination, *_ = ledger.accounts()
    return [
        ("POST", "/accounts", {"name": mark, "currency": "EUR", "opening_balance": euros("1.00")}),
        ("PUT", f"/accounts/{source}", {"name": mark, "status": "active"}),
        ("POST", "/payments", order(source, destination, "0.05", description=mark)),
        ("POST", f"/payments/{payment}/refunds", {"amount": euros("0.01"), "reason": mark}),
    ]


def test_a_dry_run_answers_as_the_write_would_and_changes_nothing(api: httpx2.Client, ledger: Ledger) -> None:
    source, destination, *_ = ledger.accounts()
    payment = api.post("/payments", json=order(source, destination, "9.00")).json()["id"]
    before = rows(ledger)
    for method, path, body in kinds(ledger, payment, "as real"):
        answer = api.request(method, path, json=body, headers={**DRY, "idempotency-key": uuid.uuid4().hex})
        assert answer.headers["x-dry-run"] == "1"
        assert rows(ledger) == before
        real = api.request(method, path, json=body)
        before = rows(ledger)
        assert "x-dry-run" not in real.headers
        assert (answer.status_code, answer.json().keys()) == (real.status_code, real.json().keys())
        assert ("location" in answer.headers) == ("location" in real.headers)


def test_a_dry_run_is_refused_as_the_write_would_be(api: httpx2.Client, ledger: Ledger) -> None:
    source, destination, *_ = ledger.accounts()
    before = rows(ledger)
    answer = api.post("/payments", json=order(source, destination, "999999.00"), headers=DRY)
    assert problem(answer) == (422, "insufficient-funds")
    assert answer.headers["x-dry-run"] == "1"
    assert rows(ledger) == before


def test_a_dry_run_neither_stores_nor_replays_a_key(api: httpx2.Client, ledger: Ledger) -> None:
    source, destination, *_ = ledger.accounts()
    body, key = order(source, destination), {"idempotency-key": uuid.uuid4().hex}
    rehearsed = api.post("/payments", json=body, headers={**DRY, **key}).json()["id"]
    real = api.post("/payments", json=body, headers=key)
    assert "idempotent-replayed" not in real.headers
    again = api.post("/payments", json=body, headers={**DRY, **key})
    assert len({rehearsed, real.json()["id"], again.json()["id"]}) == 3
    assert api.get(f"/payments/{rehearsed}").status_code == 404


@pytest.mark.parametrize("value", ["true", "0", "", "1, 1"])
def test_a_misspelt_dry_run_is_refused_and_not_executed(
    api: httpx2.Client, ledger: Ledger, value: str
) -> None:
    source, destination, *_ = ledger.accounts()
    before = rows(ledger)
    answer = api.post("/payments", json=order(source, destination), headers={"x-dry-run": value})
    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"] == [{"field": "x-dry-run", "message": "must be 1"}]
    assert rows(ledger) == before


def test_thousands_of_dry_runs_beside_real_writes_change_not_one_row(
    new_ledger: Callable[[], Ledger], fx_server: Server
) -> None:
    """2,000 dry runs of all four kinds and 200 real writes, on the same accounts and payment."""
    ledger = new_ledger()
    source, destination, *_ = ledger.accounts()
    with servers.async_(ledger.url, fx_server.url) as server:
        with client_of(server.url, ledger.api_key) as client:
            payment = client.post("/payments", json=order(source, destination, "99.00")).json()["id"]
        before = {table: len(found) for table, found in rows(ledger).items()}
        state = "SELECT version, balance FROM accounts WHERE id = %s"
        ((version, balance),) = ledger.execute(state, source)
        calls = [(*call, True) for call in kinds(ledger, payment, "dry") * 500]
        calls += [(*call, False) for call in kinds(ledger, payment, "real") * 50]
        random.Random(1).shuffle(calls)
        statuses = Counter(_send_all(server.url, ledger.api_key, calls))
    assert statuses == {("dry", 201): 1500, ("dry", 200): 500, ("real", 201): 150, ("real", 200): 50}
    found = rows(ledger)
    assert not [row for table in TABLES for row in found[table] if "dry" in row]
    grown = {table: len(found[table]) - before[table] for table in TABLES}
    assert grown == {
        "accounts": 50,
        "payments": 50,
        "refunds": 50,
        "ledger_transactions": 150,
        "entries": 300,
        "idempotency_keys": 200,
    }
    assert ledger.execute(state, source) == [(version + 50, balance - 50 * 5 + 50 * 1)]
    assert ledger_problems(ledger.url) == []


def _send_all(
    url: str, api_key: str, calls: list[tuple[str, str, dict[str, object], bool]]
) -> list[tuple[str, int]]:
    clients = 12
    with ThreadPoolExecutor(clients) as threads:
        shares = (calls[number::clients] for number in range(clients))
        sent = threads.map(partial(_send, url, api_key), shares)
        return [each for share in sent for each in share]


def _send(
    url: str, api_key: str, calls: list[tuple[str, str, dict[str, object], bool]]
) -> list[tuple[str, int]]:
    found = []
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        for method, path, body, dry in calls:
            headers = {
                "authorization": f"Bearer {api_key}",
                "content-type": "application/json",
                "idempotency-key": uuid.uuid4().hex,
                **(DRY if dry else {}),
            }
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            found.append(("dry" if dry else "real", answer.status))
    return found
