"""What clients must not be able to do: the same status and problem type from every implementation."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest

from tests.contract.fixtures import NO_TLS, PROBLEMS, Ledger, client_of, euros, get, order, problem

INJECTIONS = ["' OR '1'='1", "1; DROP TABLE entries; --", "%27%20OR%201=1", "\\'; SELECT pg_sleep(10); --"]
JSON_TYPE = {"content-type": "application/json"}


def fields(response: httpx2.Response) -> list[str]:
    """Which fields an invalid request has."""
    assert problem(response) == (422, "invalid-request")
    return [error["field"] for error in response.json()["errors"]]


@pytest.fixture
def accounts(ledger: Ledger) -> list[str]:
    return ledger.accounts("EUR")


# -- who is asking


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer nonsense", "Basic abc", "Bearer ' OR '1'='1", "Bearer é"],
)
def test_wrong_key_is_unauthorized(target: str, authorization: str | None, ledger: Ledger) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    url = f"{target}/accounts/{ledger.accounts()[0]}"
    response = get(url, headers)
    assert problem(response) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="payments"'


def test_key_is_asked_for_before_anything_else(target: str) -> None:
    for path in ("/accounts", "/payments", f"/payments/{uuid.uuid4()}/refunds"):
        response = httpx2.post(f"{target}{path}", content=b"{", trust_env=False, verify=NO_TLS)
        assert problem(response) == (401, "unauthorized")


def test_scheme_is_case_insensitive(target: str, ledger: Ledger) -> None:
    headers = {"authorization": f"bEARER {ledger.api_key}"}
    url = f"{target}/accounts/{ledger.accounts()[0]}"
    assert get(url, headers).status_code == 200


def test_revoked_key_is_unauthorized_at_once(target: str, ledger: Ledger) -> None:
    merchant = ledger.merchants[0]["id"]
    query = "INSERT INTO api_keys (digest, merchant_id) VALUES (sha256(%s), %s)"
    key = f"sk_{uuid.uuid4().hex}"
    ledger.execute(query, key.encode(), merchant)
    with client_of(target, key) as client:
        assert client.get(f"/accounts/{ledger.accounts()[0]}").status_code == 200
        ledger.execute("UPDATE api_keys SET revoked_at = now() WHERE digest = sha256(%s)", key.encode())
        assert problem(client.get(f"/accounts/{ledger.accounts()[0]}")) == (401, "unauthorized")


def test_other_merchants_things_do_not_exist(api: httpx2.Client, ledger: Ledger, accounts: list[str]) -> None:
    stranger, strange_payment = ledger.accounts(merchant=1)[0], ledger.merchants[1]["payments"][0]
    body = {"name": "Mine", "status": "active"}
    for response in (
        api.get(f"/accounts/{stranger}"),
        api.get(f"/accounts/{stranger}/transactions"),
        api.get(f"/accounts/{stranger}/statement?month=2026-01"),
        api.put(f"/accounts/{stranger}", json=body),
        api.get(f"/payments/{strange_payment}"),
        api.get(f"/payments?account_id={stranger}"),
        api.post(f"/payments/{strange_payment}/refunds", json={}),
        api.post("/payments", json=order(stranger, accounts[0])),
        api.post("/payments", json=order(accounts[0], stranger)),
    ):
        assert problem(response) == (404, "not-found")


def test_clearing_accounts_are_out_of_reach(api: httpx2.Client, ledger: Ledger) -> None:
    [(clearing,)] = ledger.execute("SELECT id FROM accounts WHERE kind = 'clearing' AND currency = 'EUR'")
    assert problem(api.get(f"/accounts/{clearing}")) == (404, "not-found")
    assert problem(api.post("/payments", json=order(str(clearing), ledger.accounts()[0]))) == (
        404,
        "not-found",
    )


# -- ids and queries


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "0",
        "x" * 3000,
        "%00",
        "%ff%fe",
        "..%2f..",
        "{3099fdf5-ab99-454a-a901-e35cd47d380d}",
        "3099FDF5-AB99-454A-A901-E35CD47D380D",
        "urn:uuid:3099fdf5-ab99-454a-a901-e35cd47d380d",
        *INJECTIONS,
    ],
)
def test_id_that_cannot_exist_is_not_found(api: httpx2.Client, text: str) -> None:
    for response in (
        api.get(f"/accounts/{text}"),
        api.get(f"/accounts/{text}/transactions"),
        api.get(f"/payments/{text}"),
        api.put(f"/accounts/{text}", json={"name": "x", "status": "active"}),
        api.post(f"/payments/{text}/refunds", json={}),
    ):
        assert problem(response) == (404, "not-found")


@pytest.mark.parametrize("path", ["/", "/accounts/", "/nothing", "/accounts/x/y", "/healthz/"])
def test_unknown_path_is_not_found(api: httpx2.Client, path: str) -> None:
    assert problem(api.get(path)) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/payments", "GET, HEAD, POST"),
        ("OPTIONS", "/payments", "GET, HEAD, POST"),
        ("GET", "/accounts", "POST"),
        ("HEAD", "/accounts", "POST"),
        ("PATCH", "/accounts/3099fdf5-ab99-454a-a901-e35cd47d380d", "GET, HEAD, PUT"),
        ("POST", "/quotes", "GET, HEAD"),
    ],
)
def test_method_not_allowed_names_all_that_are(
    api: httpx2.Client, method: str, path: str, allow: str
) -> None:
    response = api.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    if method != "HEAD":
        assert problem(response) == (405, "method-not-allowed")


LIMITS = ["0", "101", "-1", "1.0", "1e1", " 1", "%2B1", "1_0", "", "x", "٣", "9" * 400, *INJECTIONS]


@pytest.mark.parametrize("limit", LIMITS)
def test_wrong_limit_is_refused(api: httpx2.Client, accounts: list[str], limit: str) -> None:
    for path in (f"/accounts/{accounts[0]}/transactions", "/payments"):
        assert fields(api.get(f"{path}?limit={limit}")) == ["limit"]


CURSORS = ["", "x", "AQAAAAAAAAo7Eky1DQ", "A" * 18, "=" * 18, "é" * 18, "A" * 5000, "AQ%00", *INJECTIONS]


@pytest.mark.parametrize("cursor", CURSORS)
def test_forged_cursor_is_refused(api: httpx2.Client, accounts: list[str], cursor: str) -> None:
    for path in (f"/accounts/{accounts[0]}/transactions", "/payments"):
        assert fields(api.get(f"{path}?cursor={cursor}")) == ["cursor"]


def test_cursor_of_another_listing_is_refused(api: httpx2.Client, accounts: list[str]) -> None:
    cursor = api.get(f"/accounts/{accounts[0]}/transactions?limit=1").json()["next_cursor"]
    assert fields(api.get(f"/accounts/{accounts[1]}/transactions?cursor={cursor}")) == ["cursor"]
    assert fields(api.get(f"/payments?cursor={cursor}")) == ["cursor"]
    listed = api.get("/payments?limit=1").json()["next_cursor"]
    assert fields(api.get(f"/payments?status=completed&cursor={listed}")) == ["cursor"]


@pytest.mark.parametrize(
    "month", ["", "2026", "2026-13", "2026-00", "1999-12", "2100-01", "2026-1", "2026-01-01"]
)
def test_wrong_month_is_refused(api: httpx2.Client, accounts: list[str], month: str) -> None:
    assert fields(api.get(f"/accounts/{accounts[0]}/statement?month={month}")) == ["month"]


def test_all_wrong_parameters_are_named_at_once(api: httpx2.Client) -> None:
    assert fields(api.get("/payments?account_id=x&status=lost&limit=0&cursor=x")) in (
        ["account_id", "cursor", "limit", "status"],
        [
            "account_id",
            "limit",
            "status",
        ],  # a cursor belongs to filters that are known only when they are right
    )
    assert fields(api.get("/quotes?base=XXX&quote=&amount=1")) == ["base", "quote"]
    assert fields(api.get("/quotes?base=EUR&quote=EUR&amount=1.000")) == ["amount", "quote"]
    assert fields(api.get("/quotes")) == ["amount", "base", "quote"]


def test_parameter_given_twice_is_refused(api: httpx2.Client) -> None:
    assert fields(api.get("/payments?limit=1&limit=2")) == ["limit"]


def test_unknown_parameter_is_ignored(api: httpx2.Client) -> None:
    assert api.get("/payments?limit=1&utm_source=x").status_code == 200


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null x",
        b"{'name': 1}",
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b"[" * 4000,
        b"[" * 33 + b"]" * 33,
        b'{"name":' * 1000 + b"1" + b"}" * 1000,
        b'{"name": ' + b"9" * 6000 + b"}",
        "{}".encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_body_that_is_not_json_is_malformed(api: httpx2.Client, body: bytes) -> None:
    for path in ("/accounts", "/payments", f"/payments/{uuid.uuid4()}/refunds"):
        assert problem(api.post(path, content=body, headers=JSON_TYPE)) == (400, "malformed-body")


@pytest.mark.parametrize("body", ["null", "[]", "1", '"x"', "true"])
def test_body_must_be_an_object(api: httpx2.Client, body: str) -> None:
    assert fields(api.post("/payments", content=body, headers=JSON_TYPE)) == [""]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json5", ""]
)
def test_body_of_another_type_is_refused(api: httpx2.Client, kind: str) -> None:
    response = api.post("/payments", content=b"{}", headers={"content-type": kind})
    assert problem(response) == (415, "unsupported-media-type")


def test_type_may_have_parameters_and_any_case(api: httpx2.Client) -> None:
    response = api.post(
        "/payments", content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"}
    )
    assert problem(response) == (422, "invalid-request")


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_limit_is_refused(api: httpx2.Client, chunked: bool) -> None:
    whole = json.dumps({"name": "x" * 17_000, "currency": "EUR"}).encode()
    content: Any = iter([whole[:9000], whole[9000:]]) if chunked else whole
    response = api.post("/accounts", content=content, headers=JSON_TYPE)
    assert problem(response) == (413, "body-too-large")


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "0",
        "0.00",
        "-1.00",
        "+1.00",
        "1",
        "1.0",
        "1.000",
        "1,00",
        ".50",
        "01.00",
        "1e2",
        "1E+2",
        "NaN",
        "Infinity",
        "0x10",
        "1_0.00",
        " 1.00",
        "1.00 ",
        "1.00\n",
        "１.00",
        "1000000000000.00",
        "9" * 400 + ".00",
        *INJECTIONS,
        1,
        1.0,
        True,
        None,
        [],
        {},
    ],
)
def test_amount_that_is_not_one_is_refused(api: httpx2.Client, accounts: list[str], amount: object) -> None:
    body = order(accounts[0], accounts[1]) | {"amount": {"amount": amount, "currency": "EUR"}}
    assert fields(api.post("/payments", json=body)) == ["amount.amount"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"amount": {"amount": "1.00", "currency": "XXX"}}, ["amount.currency"]),
        ({"amount": {"amount": "1.00", "currency": "eur"}}, ["amount.currency"]),
        ({"amount": {"amount": "1.00", "currency": None}}, ["amount.currency"]),
        ({"amount": {"amount": "1.00", "currency": ["EUR"]}}, ["amount.currency"]),
        ({"amount": {"amount": "1.00"}}, ["amount.currency"]),
        ({"amount": {"currency": "EUR"}}, ["amount.amount"]),
        ({"amount": {}}, ["amount.amount", "amount.currency"]),
        ({"amount": {"amount": "1.00", "currency": "EUR", "x": 1}}, ["amount.x"]),
        ({"amount": "1.00"}, ["amount"]),
        ({"amount": None}, ["amount"]),
        ({"amount": [euros("1.00")]}, ["amount"]),
        ({"amount": {"amount": "100", "currency": "JPY"}, "z": 1}, ["z"]),
        ({"amount": {"amount": "1.00", "currency": "JPY"}}, ["amount.amount"]),
        ({"amount": {"amount": "1.00", "currency": "KWD"}}, ["amount.amount"]),
        ({"source_account_id": None}, ["source_account_id"]),
        ({"source_account_id": 1}, ["source_account_id"]),
        (
            {"source_account_id": "x", "destination_account_id": "x"},
            ["destination_account_id", "source_account_id"],
        ),
        ({"source_account_id": "3099FDF5-AB99-454A-A901-E35CD47D380D"}, ["source_account_id"]),
        ({"description": ""}, ["description"]),
        ({"description": "x" * 201}, ["description"]),
        ({"description": "a\u0000b"}, ["description"]),
        ({"description": "a\nb"}, ["description"]),
        ({"description": 1}, ["description"]),
        ({"unknown": 1, "x" * 100: 2}, ["unknown", "x" * 64]),
        ({"idempotency_key": "x"}, ["idempotency_key"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_fields_are_named(
    api: httpx2.Client, accounts: list[str], change: dict[str, object], expected: list[str]
) -> None:
    body = order(accounts[0], accounts[1]) | change
    assert fields(api.post("/payments", json=body)) == expected


def test_payment_to_oneself_is_refused(api: httpx2.Client, accounts: list[str]) -> None:
    body = order(accounts[0], accounts[0])
    assert fields(api.post("/payments", json=body)) == ["destination_account_id"]


def test_longest_texts_are_accepted(api: httpx2.Client, accounts: list[str]) -> None:
    paid = api.post("/payments", json=order(accounts[0], accounts[1], description="💶" * 200))
    assert paid.json()["description"] == "💶" * 200
    opened = api.post("/accounts", json={"name": "\u00a0" * 100, "currency": "EUR"})
    assert opened.json()["name"] == "\u00a0" * 100


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_text_is_only_text(api: httpx2.Client, accounts: list[str], text: str) -> None:
    paid = api.post("/payments", json=order(accounts[0], accounts[1], description=text))
    assert paid.json()["description"] == text
    assert api.get(paid.headers["location"]).json()["description"] == text
    opened = api.post("/accounts", json={"name": text, "currency": "EUR"})
    assert api.get(opened.headers["location"]).json()["name"] == text


def test_every_problem_type_is_in_the_contract(contract: dict[str, Any]) -> None:
    from async_api.errors import KINDS as ASYNC_KINDS
    from legacy_flask.errors import KINDS as LEGACY_KINDS

    documented = set(contract["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
    assert {PROBLEMS + kind for kind in ASYNC_KINDS} == documented
    keys = {"idempotency-key-invalid", "idempotency-key-in-use", "idempotency-key-reused"}
    refused_by_gunicorn = {"target-too-long", "expectation-failed", "headers-too-large"}
    only_async = {"outcome-unknown", *refused_by_gunicorn, *keys}
    assert {PROBLEMS + kind for kind in LEGACY_KINDS} == documented - {PROBLEMS + kind for kind in only_async}
