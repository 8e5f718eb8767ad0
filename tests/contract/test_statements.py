"""Statements of very long accounts: complete, in flat memory, and stopped when the client goes away."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator

import pytest

from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of
from tests.contract.servers import Server

ENTRIES = 200_000
FLAT = 12 * 1024  # KiB that a server may grow by, less than the statement's size

# One side of the ledger only, and without checking its foreign keys: 200,000 rows in seconds.
FILL = """
SET session_replication_role = replica;
CREATE TEMP TABLE made AS
    SELECT gen_random_uuid() AS id, n, timestamptz '2026-06-01 00:00Z' + n * interval '1 second' AS created_at
    FROM generate_series(1, {entries}) AS n;
INSERT INTO ledger_transactions (id, kind, created_at) SELECT id, 'opening', created_at FROM made ORDER BY n;
INSERT INTO entries (transaction_id, account_id, amount, balance_after, created_at)
    SELECT id, '{account}', 1, n, created_at FROM made ORDER BY n;
ANALYZE entries, ledger_transactions"""


@pytest.fixture(scope="module")
def long_ledger(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


@pytest.fixture(scope="module", params=["legacy", "async"])
def server(request: pytest.FixtureRequest, long_ledger: Ledger) -> Iterator[Server]:
    start = servers.legacy if request.param == "legacy" else servers.async_
    with start(long_ledger.url) as running:
        yield running


@pytest.fixture(scope="module")
def account(long_ledger: Ledger) -> str:
    """An account with ENTRIES entries in June 2026."""
    merchant = long_ledger.merchants[0]["id"]
    [(made,)] = long_ledger.execute(
        "INSERT INTO accounts (id, merchant_id, kind, name, currency, status, balance, version)"
        " VALUES (gen_random_uuid(), %s, 'customer', 'Long', 'EUR', 'active', %s, 1) RETURNING id",
        merchant,
        ENTRIES,
    )
    long_ledger.execute(FILL.format(entries=ENTRIES, account=made))
    return str(made)


def test_long_statement_is_complete_in_flat_memory(server: Server, long_ledger: Ledger, account: str) -> None:
    with client_of(server.url, long_ledger.api_key) as api:
        small = api.get(f"/accounts/{account}/statement?month=2026-05")
        assert small.text.splitlines() == [
            "created_at,transaction_id,type,payment_id,amount,currency,balance_after"
        ]
        before = server.peak_memory()
        with api.stream("GET", f"/accounts/{account}/statement?month=2026-06") as response:
            assert response.headers["transfer-encoding"] == "chunked"
            body = b"".join(response.iter_bytes())
        grown = server.peak_memory() - before
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert len(rows) == ENTRIES
    assert [int(row["balance_after"].replace(".", "")) for row in rows] == list(range(1, ENTRIES + 1))
    assert len({row["transaction_id"] for row in rows}) == ENTRIES
    assert grown < FLAT


def test_client_that_goes_away_stops_the_query(server: Server, long_ledger: Ledger, account: str) -> None:
    before = _entries_read(long_ledger)
    with client_of(server.url, long_ledger.api_key) as api:
        with api.stream("GET", f"/accounts/{account}/statement?month=2026-06") as response:
            assert next(response.iter_bytes())
        _wait_until_quiet(long_ledger)
        assert _entries_read(long_ledger) - before < ENTRIES / 2
        assert api.get(f"/accounts/{account}").status_code == 200


def _entries_read(ledger: Ledger) -> int:
    [(count,)] = ledger.execute("SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'entries'")
    return int(count)


def _wait_until_quiet(ledger: Ledger) -> None:
    """Until no connection is in a query or a transaction, nor has been between two looks."""
    seen = None
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        [now] = ledger.execute(
            "SELECT max(query_start), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        if now == seen and now[1] == 0:
            return
        seen = now
        time.sleep(0.3)
    raise AssertionError(f"still reading: {seen}")
