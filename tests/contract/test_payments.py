from __future__ import annotations

import httpx2
import pytest

from tests.contract.fixtures import Ledger, euros, get, order, problem
from tests.contract.test_accounts import open_account


def balance(api: httpx2.Client, account: str) -> str:
    return str(api.get(f"/accounts/{account}").json()["balance"]["amount"])


def pay(api: httpx2.Client, source: str, destination: str, amount: str) -> str:
    response = api.post("/payments", json=order(source, destination, amount))
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_payment_moves_money_and_is_readable_at_its_location(api: httpx2.Client) -> None:
    source, destination = open_account(api), open_account(api)
    paid = api.post("/payments", json=order(source, destination, "12.34", description="Order 1"))
    assert paid.status_code == 201
    assert paid.headers["location"] == f"/payments/{paid.json()['id']}"
    assert api.get(paid.headers["location"]).json() == paid.json()
    assert paid.json() | {"id": "", "created_at": ""} == {
        "id": "",
        "status": "completed",
        "source_account_id": source,
        "destination_account_id": destination,
        "amount": euros("12.34"),
        "refunded": euros("0.00"),
        "description": "Order 1",
        "created_at": "",
    }
    assert (balance(api, source), balance(api, destination)) == ("87.66", "112.34")


def test_declined_payment_leaves_nothing_behind(api: httpx2.Client) -> None:
    source, destination = open_account(api, "5.00"), open_account(api, "5.00")
    assert problem(api.post("/payments", json=order(source, destination, "5.01"))) == (
        422,
        "insufficient-funds",
    )
    assert (balance(api, source), balance(api, destination)) == ("5.00", "5.00")
    assert api.get(f"/payments?account_id={source}").json()["items"] == []


def test_whole_balance_can_be_paid(api: httpx2.Client) -> None:
    source, destination = open_account(api, "5.00"), open_account(api, "5.00")
    pay(api, source, destination, "5.00")
    assert (balance(api, source), balance(api, destination)) == ("0.00", "10.00")


def test_payment_in_another_currency_than_the_accounts_is_refused(api: httpx2.Client, ledger: Ledger) -> None:
    euro, dollar = ledger.accounts("EUR")[0], ledger.accounts("USD")[0]
    assert problem(api.post("/payments", json=order(euro, dollar))) == (422, "currency-mismatch")
    dollars = order(*ledger.accounts("EUR")[:2]) | {"amount": {"amount": "1.00", "currency": "USD"}}
    assert problem(api.post("/payments", json=dollars)) == (422, "currency-mismatch")


def test_refunds_in_parts_until_nothing_is_left(api: httpx2.Client) -> None:
    source, destination = open_account(api), open_account(api)
    payment = pay(api, source, destination, "10.00")
    refund = api.post(f"/payments/{payment}/refunds", json={"amount": euros("4.00"), "reason": "Broken"})
    assert refund.status_code == 201
    assert refund.json() | {"id": "", "created_at": ""} == {
        "id": "",
        "payment_id": payment,
        "amount": euros("4.00"),
        "reason": "Broken",
        "status": "completed",
        "decline_code": None,
        "created_at": "",
    }
    read = api.get(f"/payments/{payment}").json()
    assert (read["status"], read["refunded"]) == ("partially_refunded", euros("4.00"))
    assert api.post(f"/payments/{payment}/refunds", json={}).json()["amount"] == euros("6.00")
    assert api.get(f"/payments/{payment}").json()["status"] == "refunded"
    assert problem(api.post(f"/payments/{payment}/refunds", json={})) == (422, "refund-exceeds-payment")
    assert (balance(api, source), balance(api, destination)) == ("100.00", "100.00")


def test_refund_of_more_than_is_left_is_refused(api: httpx2.Client) -> None:
    payment = pay(api, open_account(api), open_account(api), "10.00")
    body = {"amount": euros("10.01")}
    assert problem(api.post(f"/payments/{payment}/refunds", json=body)) == (422, "refund-exceeds-payment")
    dollars = {"amount": {"amount": "1.00", "currency": "USD"}}
    assert problem(api.post(f"/payments/{payment}/refunds", json=dollars)) == (422, "currency-mismatch")


def test_declined_refund_is_recorded_and_leaves_the_payment_as_it_was(
    api: httpx2.Client, ledger: Ledger
) -> None:
    source, destination, third = open_account(api), open_account(api, "0.00"), open_account(api)
    payment = pay(api, source, destination, "10.00")
    pay(api, destination, third, "9.00")
    before = api.get(f"/payments/{payment}").json()
    assert problem(api.post(f"/payments/{payment}/refunds", json={})) == (422, "insufficient-funds")
    assert api.get(f"/payments/{payment}").json() == before
    declined = ledger.execute("SELECT status, decline_code FROM refunds WHERE payment_id = %s", payment)
    assert declined == [("declined", "insufficient-funds")]
    assert (balance(api, source), balance(api, destination)) == ("90.00", "1.00")


def test_payments_are_listed_by_account_and_status(api: httpx2.Client) -> None:
    first, second, third = (open_account(api) for _ in range(3))
    out, back, other = (
        pay(api, first, second, "1.00"),
        pay(api, second, first, "1.00"),
        pay(api, second, third, "1.00"),
    )
    api.post(f"/payments/{back}/refunds", json={})

    def listed(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"/payments?{query}").json()["items"]]

    assert listed(f"account_id={first}") == [back, out]
    assert listed(f"account_id={second}") == [other, back, out]
    assert listed(f"account_id={first}&status=refunded") == [back]
    assert listed(f"account_id={first}&status=completed") == [out]
    assert listed("limit=3") == [other, back, out]


@pytest.mark.parametrize(
    ("base", "quote", "amount", "rate", "converted"),
    [
        ("EUR", "USD", "12.34", "1.084200", "13.38"),
        ("EUR", "JPY", "1.00", "163.270000", "163"),
        ("JPY", "EUR", "1000", "0.006125", "6.12"),  # 6.125: half to even
        ("KWD", "GBP", "1.005", "2.574647", "2.59"),
        ("EUR", "KWD", "999999999999.99", "0.332900", "332899999999.997"),
    ],
)
def test_quote_converts_exactly(
    api: httpx2.Client, base: str, quote: str, amount: str, rate: str, converted: str
) -> None:
    answer = api.get("/quotes", params={"base": base, "quote": quote, "amount": amount}).json()
    assert (answer["base"], answer["quote"], answer["rate"]) == (base, quote, rate)
    assert answer["amount"] == {"amount": amount, "currency": base}
    assert answer["converted"] == {"amount": converted, "currency": quote}
    assert answer["quoted_at"] < answer["expires_at"]


def test_health_needs_no_key(target: str) -> None:
    response = get(f"{target}/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
