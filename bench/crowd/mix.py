"""What users ask the payments API: a realistic mix, as bytes on the wire."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

SHARES = {"account": 40, "transactions": 20, "payment": 15, "payments": 10, "quote": 10, "pay": 5}
"""Percent of the requests of each kind; `pay` is the one write."""

PROBE = "lookup"
"""The one kind where no API stands behind: any path, any key."""


class Drawn(NamedTuple):
    """`proof` is in every good answer to `request`, and hardly in one to another; b"": nothing is."""

    kind: str
    request: bytes
    proof: bytes


class Merchant(NamedTuple):
    api_key: str
    accounts: tuple[tuple[str, str], ...]  # id, currency
    payments: tuple[str, ...]


@dataclass(frozen=True)
class Book:
    """What exists to be asked for, from the summary that `python -m legacy_flask seed` prints."""

    merchants: tuple[Merchant, ...]

    @classmethod
    def of(cls, seeded: Mapping[str, Any]) -> Book:
        return cls(
            tuple(
                Merchant(
                    one["api_key"],
                    tuple((account["id"], account["currency"]) for account in one["accounts"]),
                    tuple(one["payments"]),
                )
                for one in seeded["merchants"]
            )
        )


class Asker:
    """Draws requests. The same seed draws the same ones."""

    def __init__(self, book: Book, seed: int, accept_encoding: str = "") -> None:
        self._merchants = book.merchants
        self._random = random.Random(seed)
        self._kinds = list(SHARES)
        self._weights = list(accumulate(SHARES.values()))
        self._extra = f"accept-encoding: {accept_encoding}\r\n" if accept_encoding else ""

    def draw(self, user: int, kind: str = "") -> Drawn:
        """A request of the user with this number, who belongs to one merchant for good.

        Without a kind, it is drawn from the mix.
        """
        if not self._merchants:
            request = self._head("GET", f"/accounts/{user}", user, "none") + b"\r\n"
            return Drawn(PROBE, request, self._proof(f'/accounts/{user}"'))
        kind = kind or self._random.choices(self._kinds, cum_weights=self._weights)[0]
        merchant = self._merchants[user % len(self._merchants)]
        if kind == "pay":
            return self._pay(merchant, user)
        path, proof = self._path(kind, merchant)
        request = self._head("GET", path, user, merchant.api_key) + b"\r\n"
        return Drawn(kind, request, self._proof(proof))

    def _proof(self, text: str) -> bytes:
        """A compressed answer is not looked into: that would cost the users more than they cost the API."""
        return b"" if self._extra else text.encode()

    def _path(self, kind: str, merchant: Merchant) -> tuple[str, str]:
        """With the proof."""
        choose = self._random.choice
        if kind == "account":
            account = choose(merchant.accounts)[0]
            return f"/accounts/{account}", account
        if kind == "transactions":
            return f"/accounts/{choose(merchant.accounts)[0]}/transactions", ""
        if kind == "payment":
            payment = choose(merchant.payments)
            return f"/payments/{payment}", payment
        if kind == "payments":
            account = choose(merchant.accounts)[0]
            return f"/payments?account_id={account}", ""
        quote = choose(("USD", "GBP", "CHF"))
        return f"/quotes?base=EUR&quote={quote}&amount=12.34", quote

    def _pay(self, merchant: Merchant, user: int) -> Drawn:
        source, currency = self._random.choice(merchant.accounts)
        others = [one for one, theirs in merchant.accounts if theirs == currency and one != source]
        body = (
            f'{{"source_account_id":"{source}","destination_account_id":"{self._random.choice(others)}",'
            f'"amount":{{"amount":"0.01","currency":"{currency}"}}}}'
        ).encode()
        head = self._head("POST", "/payments", user, merchant.api_key)
        request = head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        return Drawn("pay", request, self._proof(source))

    def _head(self, method: str, target: str, user: int, key: str) -> bytes:
        return (
            f"{method} {target} HTTP/1.1\r\nhost: payments.test\r\nauthorization: Bearer {key}\r\n"
            f"x-user-id: user-{user}\r\naccept: application/json\r\n{self._extra}"
        ).encode()
