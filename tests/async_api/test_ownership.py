"""Balances and lists are cached only while the proxy's ledger shows that nobody else writes."""

from __future__ import annotations

from typing import Any

import pytest

from async_api.ownership import WRITES, objection


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
