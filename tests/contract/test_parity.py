"""The same question gets the same answer from both, byte order of JSON aside."""

from __future__ import annotations

import httpx2
import pytest

from tests.contract.fixtures import Ledger

IGNORED = {"date", "server", "connection", "content-length", "transfer-encoding", "x-version"}


def headers(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in IGNORED}


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/{account}",
        "/accounts/{settlement}",
        "/accounts/{account}/transactions",
        "/accounts/{settlement}/transactions?limit=5",
        "/accounts/{account}/statement?month=2026-01",
        "/accounts/{account}/statement?month=2020-01",
        "/payments/{payment}",
        "/payments?limit=50",
        "/payments?account_id={account}&status=completed",
        "/payments?status=refunded&account_id={account}",
        "/healthz",
    ],
)
def test_reads_are_equal(legacy: httpx2.Client, async_: httpx2.Client, ledger: Ledger, path: str) -> None:
    merchant = ledger.merchants[0]
    filled = path.format(
        account=ledger.accounts("GBP")[0],
        settlement=merchant["settlement_accounts"]["GBP"],
        payment=merchant["payments"][0],
    )
    old, new = legacy.get(filled), async_.get(filled)
    assert (old.status_code, new.status_code) == (200, 200)
    assert headers(old) == headers(new)
    if "json" in old.headers["content-type"]:
        assert old.json() == new.json()
    else:
        assert old.content == new.content


@pytest.mark.parametrize(
    "path",
    ["/accounts/x", "/payments?limit=x", "/nothing", "/accounts", "/quotes?base=EUR&quote=XXX&amount=1.00"],
)
def test_errors_differ_in_wording_only(legacy: httpx2.Client, async_: httpx2.Client, path: str) -> None:
    old, new = legacy.get(path), async_.get(path)
    assert headers(old) == headers(new)
    for answer in (old, new):
        assert answer.headers["content-type"] == "application/problem+json"
    wordless = [
        {
            **{name: value for name, value in answer.json().items() if name != "detail"},
            "errors": [error["field"] for error in answer.json().get("errors", [])],
        }
        for answer in (old, new)
    ]
    assert wordless[0] == wordless[1]


def test_backends_name_their_versions(legacy: httpx2.Client, async_: httpx2.Client) -> None:
    assert legacy.get("/healthz").headers["x-version"] == "1.0"
    assert async_.get("/healthz").headers["x-version"] == "2.0"
