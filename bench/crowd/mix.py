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

    def draw(self, user: int, kind: str = "") -> tuple[str, bytes]:
        """Kind and whole request of the user with this number, who belongs to one merchant for good.

        Without a kind, it is drawn from the mix.
        """
        if not self._merchants:
            return PROBE, self._head("GET", f"/accounts/{user}", user, "none") + b"\r\n"
        kind = kind or self._random.choices(self._kinds, cum_weights=self._weights)[0]
        merchant = self._merchants[user % len(self._merchants)]
        if kind == "pay":
            return kind, self._pay(merchant, user)
        return kind, self._head("GET", self._path(kind, merchant), user, merchant.api_key) + b"\r\n"

    def _path(self, kind: str, merchant: Merchant) -> str:
        choose = self._random.choice
        if kind == "account":
            return f"/accounts/{choose(merchant.accounts)[0]}"
        if kind == "transactions":
            return f"/accounts/{choose(merchant.accounts)[0]}/transactions"
        if kind == "payment":
            return f"/payments/{choose(merchant.payments)}"
        if kind == "payments":
            return f"/payments?account_id={choose(merchant.accounts)[0]}"
        return f"/quotes?base=EUR&quote={choose(('USD', 'GBP', 'CHF'))}&amount=12.34"

    def _pay(self, merchant: Merchant, user: int) -> bytes:
        source, currency = self._random.choice(merchant.accounts)
        others = [one for one, theirs in merchant.accounts if theirs == currency and one != source]
        body = (
            f'{{"source_account_id":"{source}","destination_account_id":"{self._random.choice(others)}",'
            f'"amount":{{"amount":"0.01","currency":"{currency}"}}}}'
        ).encode()
        head = self._head("POST", "/payments", user, merchant.api_key)
        return head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    def _head(self, method: str, target: str, user: int, key: str) -> bytes:
        return (
            f"{method} {target} HTTP/1.1\r\nhost: payments.test\r\nauthorization: Bearer {key}\r\n"
            f"x-user-id: user-{user}\r\naccept: application/json\r\n{self._extra}"
        ).encode()
