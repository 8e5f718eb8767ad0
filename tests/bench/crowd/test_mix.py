from __future__ import annotations

import json
from collections import Counter

from bench.crowd.mix import SHARES, Asker, Book

SEEDED = {
    "merchants": [
        {
            "api_key": f"sk_{number}",
            "accounts": [
                {"id": f"{number}-{n}", "currency": currency}
                for n, currency in enumerate(["EUR", "EUR", "USD", "USD"])
            ],
            "payments": [f"p{number}"],
        }
        for number in range(2)
    ]
}


def test_kinds_have_their_shares() -> None:
    asker = Asker(Book.of(SEEDED), 1)
    drawn = Counter(asker.draw(0)[0] for _ in range(20_000))
    assert {kind: round(100 * count / 20_000 / 5) for kind, count in drawn.items()} == {
        kind: round(share / 5) for kind, share in SHARES.items()
    }


def test_a_user_keeps_merchant_and_sticky_key() -> None:
    asker = Asker(Book.of(SEEDED), 1)
    for _ in range(200):
        request = asker.draw(7)[1]
        assert b"authorization: Bearer sk_1\r\n" in request
        assert b"x-user-id: user-7\r\n" in request


def test_payments_are_between_two_accounts_in_one_currency() -> None:
    asker = Asker(Book.of(SEEDED), 1)
    for _ in range(50):
        head, _, body = asker.draw(0, "pay")[1].partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head
        order = json.loads(body)
        currencies = {one["id"]: one["currency"] for one in SEEDED["merchants"][0]["accounts"]}
        source, destination = order["source_account_id"], order["destination_account_id"]
        assert source != destination
        assert currencies[source] == currencies[destination] == order["amount"]["currency"]


def test_without_a_book_any_path_is_asked_for() -> None:
    assert Asker(Book(()), 1).draw(3)[1].startswith(b"GET /accounts/3 HTTP/1.1\r\n")


def test_what_proves_an_answer_is_in_the_request() -> None:
    asker = Asker(Book.of(SEEDED), 1)
    proven = {
        kind for kind, request, proof in (asker.draw(3) for _ in range(300)) if proof and proof in request
    }
    assert proven == {"account", "payment", "quote", "pay"}
    assert Asker(Book(()), 1).draw(3).proof == b'/accounts/3"'


def test_compressed_answers_prove_nothing() -> None:
    assert not Asker(Book.of(SEEDED), 1, "gzip").draw(3, "account").proof
