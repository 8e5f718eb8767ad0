from __future__ import annotations

import httpx2
import pytest

from tests.contract.fixtures import Ledger, euros, order, problem


def open_account(api: httpx2.Client, balance: str = "100.00") -> str:
    body = {"name": "Test", "currency": "EUR", "opening_balance": euros(balance)}
    response = api.post("/accounts", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_opened_account_is_readable_at_its_location(api: httpx2.Client) -> None:
    body = {"name": "Zoë Ω 💶", "currency": "EUR", "opening_balance": euros("12.34")}
    opened = api.post("/accounts", json=body)
    assert opened.status_code == 201
    assert opened.headers["location"] == f"/accounts/{opened.json()['id']}"
    read = api.get(opened.headers["location"])
    assert read.json() == opened.json()
    assert read.json() | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "kind": "customer",
        "name": "Zoë Ω 💶",
        "currency": "EUR",
        "status": "active",
        "balance": euros("12.34"),
        "version": 1,
        "created_at": "",
        "updated_at": "",
    }


def test_opening_balance_is_paid_by_the_settlement_account(api: httpx2.Client, ledger: Ledger) -> None:
    settlement = ledger.merchants[0]["settlement_accounts"]["EUR"]
    opened = api.post("/accounts", json={"name": "A", "currency": "EUR", "opening_balance": euros("7.00")})
    [entry] = api.get(f"/accounts/{opened.json()['id']}/transactions").json()["items"]
    assert (entry["type"], entry["payment_id"], entry["amount"]) == ("opening", None, euros("7.00"))
    paid = api.get(f"/accounts/{settlement}/transactions").json()["items"]
    assert {"id": entry["id"], "amount": euros("-7.00")} in [
        {"id": item["id"], "amount": item["amount"]} for item in paid
    ]


@pytest.mark.parametrize("opening", [{}, {"opening_balance": None}, {"opening_balance": euros("0.00")}])
def test_account_may_open_empty(api: httpx2.Client, opening: dict[str, object]) -> None:
    opened = api.post("/accounts", json={"name": "Empty", "currency": "EUR", **opening})
    assert opened.status_code == 201
    assert opened.json()["balance"] == euros("0.00")
    assert api.get(f"{opened.headers['location']}/transactions").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("currency", "opening", "kind"),
    [
        ("EUR", {"amount": "1.00", "currency": "USD"}, "currency-mismatch"),
        ("JPY", {"amount": "100", "currency": "JPY"}, "no-settlement-account"),
        ("EUR", {"amount": "999999999999.99", "currency": "EUR"}, "insufficient-funds"),
    ],
)
def test_opening_that_cannot_be_paid_opens_nothing(
    api: httpx2.Client, ledger: Ledger, currency: str, opening: dict[str, str], kind: str
) -> None:
    body = {"name": f"Never {kind}", "currency": currency, "opening_balance": opening}
    assert problem(api.post("/accounts", json=body)) == (422, kind)
    assert ledger.execute("SELECT 1 FROM accounts WHERE name = %s", f"Never {kind}") == []


@pytest.mark.parametrize(("currency", "zero"), [("JPY", "0"), ("KWD", "0.000"), ("CHF", "0.00")])
def test_amounts_have_exactly_the_currencys_places(api: httpx2.Client, currency: str, zero: str) -> None:
    opened = api.post("/accounts", json={"name": "Places", "currency": currency})
    assert opened.json()["balance"] == {"amount": zero, "currency": currency}


def test_put_replaces_name_and_status_and_counts_versions(api: httpx2.Client) -> None:
    account = open_account(api)
    before = api.get(f"/accounts/{account}").json()
    replaced = api.put(f"/accounts/{account}", json={"name": "New", "status": "frozen"})
    assert replaced.status_code == 200
    assert replaced.json() == before | {
        "name": "New",
        "status": "frozen",
        "version": 2,
        "updated_at": replaced.json()["updated_at"],
    }
    assert replaced.json()["updated_at"] > before["updated_at"]
    assert api.get(f"/accounts/{account}").json() == replaced.json()


def test_frozen_account_neither_sends_nor_receives(api: httpx2.Client) -> None:
    frozen, other = open_account(api), open_account(api)
    api.put(f"/accounts/{frozen}", json={"name": "F", "status": "frozen"})
    assert problem(api.post("/payments", json=order(frozen, other))) == (422, "account-frozen")
    assert problem(api.post("/payments", json=order(other, frozen))) == (422, "account-frozen")
    api.put(f"/accounts/{frozen}", json={"name": "F", "status": "active"})
    assert api.post("/payments", json=order(frozen, other)).status_code == 201


def test_head_is_get_without_its_body(api: httpx2.Client, ledger: Ledger) -> None:
    path = f"/accounts/{ledger.accounts()[0]}"
    get, head = api.get(path), api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_transactions_are_newest_first_with_running_balance(api: httpx2.Client) -> None:
    account, other = open_account(api), open_account(api)
    for amount in ("1.00", "2.00", "3.00"):
        api.post("/payments", json=order(account, other, amount))
    items = api.get(f"/accounts/{account}/transactions").json()["items"]
    assert [item["amount"]["amount"] for item in items] == ["-3.00", "-2.00", "-1.00", "100.00"]
    assert [item["balance_after"]["amount"] for item in items] == ["94.00", "97.00", "99.00", "100.00"]
