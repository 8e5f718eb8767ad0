"""Steady traffic of many users through the one URL, as clients of the payments API send it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any

from proxy.cli.demo.routing import QUOTES, WRITE
from proxy.cli.demo.tally import Seen, StepTally

USERS = 1_000
RATE = 100.0
QUIET = 50.0
"""Requests per second; fewer while one waits for comparisons, which give way to whatever clients need."""
CLIENTS = 16
"""Requests in flight at most; a slow answer makes its client late, not the others."""
PAIRS = (("EUR", "USD"), ("EUR", "USD"), ("USD", "EUR"), ("EUR", "GBP"))
AMOUNTS = ("5.00", "10.00", "19.99", "25.00", "49.90", "80.00", "99.95", "125.00", "250.00", "1000.00")
"""Of quotes; as people ask, rather round. 25.00 and 125.00 EUR in USD end exactly between two cents."""

TIMEOUT = 15.0
"""Seconds for which a client waits."""


@dataclass(frozen=True, slots=True)
class Call:
    endpoint: str
    path: str
    json: dict[str, Any] | None = None


class LoadGenerator:
    """Sends until cancelled, with http.client on threads: cheap, so that the backends keep the cores.

    The last of `tallies` counts what starts now.
    """

    def __init__(self, host: str, port: int, seeded: dict[str, Any], seed: int = 1) -> None:
        self.host = host
        self.port = port
        self.merchants: list[dict[str, Any]] = seeded["merchants"]
        self.random = random.Random(seed)
        self.numbers = count(1)
        self.tallies = [StepTally()]
        self.slots = asyncio.Semaphore(CLIENTS)  # all taken: paused
        self.rate = RATE
        self.streams = True  # whether statements are asked for, which are streamed
        self._shares = {
            self._account: 26,
            self._transactions: 12,
            self._statement: 8,  # an endpoint that few use would take the longest to prove itself
            self._payment: 14,
            self._payments: 10,
            self._quote: 12,
            self._pay: 8,
            self._open: 3,
            self._rename: 3,
            self._refund: 4,
        }

    def begin(self) -> StepTally:
        """A fresh tally for the requests from now on; the former one still gets what is in flight."""
        self.tallies.append(StepTally())
        return self.tallies[-1]

    def total(self) -> StepTally:
        return StepTally.of(*self.tallies)

    async def run(self) -> None:
        with ThreadPoolExecutor(CLIENTS, "client") as threads:
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self._client(threads, number))

    async def _client(self, threads: Executor, number: int) -> None:
        loop = asyncio.get_running_loop()
        due = time.monotonic() + number / self.rate
        with closing(HTTPConnection(self.host, self.port, timeout=TIMEOUT)) as connection:
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                async with self.slots:
                    user, call, headers = self._next()
                    tally = self.tallies[-1]
                    tally.record(await loop.run_in_executor(threads, _send, connection, call, headers, user))
                gap = CLIENTS / self.rate
                due = max(due + gap, time.monotonic() - gap)

    async def pause(self) -> None:
        """Returns when nothing is in flight any more."""
        for _ in range(CLIENTS):
            await self.slots.acquire()

    def resume(self) -> None:
        for _ in range(CLIENTS):
            self.slots.release()

    def _next(self) -> tuple[str, Call, dict[str, str]]:
        number = self.random.randrange(USERS)
        merchant = self.merchants[number % len(self.merchants)]
        make = self.random.choices([*self._shares], [*self._shares.values()])[0]
        if make == self._statement and not self.streams:
            make = self._account
        user = f"user-{number:04}"
        return user, make(merchant), {"authorization": f"Bearer {merchant['api_key']}", "x-user-id": user}

    def _account(self, merchant: dict[str, Any]) -> Call:
        return Call("GET /accounts/{account_id}", f"/accounts/{self._pick(merchant)['id']}")

    def _transactions(self, merchant: dict[str, Any]) -> Call:
        path = f"/accounts/{self._pick(merchant)['id']}/transactions?limit=20"
        return Call("GET /accounts/{account_id}/transactions", path)

    def _statement(self, merchant: dict[str, Any]) -> Call:
        path = f"/accounts/{self._pick(merchant)['id']}/statement?month=2026-0{self.random.randint(1, 3)}"
        return Call("GET /accounts/{account_id}/statement", path)

    def _payment(self, merchant: dict[str, Any]) -> Call:
        return Call("GET /payments/{payment_id}", f"/payments/{self.random.choice(merchant['payments'])}")

    def _payments(self, merchant: dict[str, Any]) -> Call:
        return Call("GET /payments", f"/payments?account_id={self._pick(merchant)['id']}&limit=10")

    def _quote(self, _merchant: dict[str, Any]) -> Call:
        base, quote = self.random.choice(PAIRS)
        return Call(QUOTES, f"/quotes?base={base}&quote={quote}&amount={self.random.choice(AMOUNTS)}")

    def _open(self, merchant: dict[str, Any]) -> Call:
        currency = self._pick(merchant)["currency"]
        opening = {"amount": "10.00", "currency": currency}
        body = {"name": f"Customer of demo {next(self.numbers)}", "currency": currency}
        return Call("POST /accounts", "/accounts", {**body, "opening_balance": opening})

    def _rename(self, merchant: dict[str, Any]) -> Call:
        path = f"/accounts/{self._pick(merchant)['id']}"
        body = {"name": f"Customer {next(self.numbers)}", "status": "active"}
        return Call("PUT /accounts/{account_id}", path, body)

    def _refund(self, merchant: dict[str, Any]) -> Call:
        payment = self.random.choice(merchant["payments"])
        body = {"amount": {"amount": "0.01", "currency": merchant["currencies"][payment]}}
        return Call("POST /payments/{payment_id}/refunds", f"/payments/{payment}/refunds", body)

    def _pay(self, merchant: dict[str, Any]) -> Call:
        source = self._pick(merchant)
        others = [a for a in merchant["accounts"] if a["currency"] == source["currency"] and a is not source]
        body = {
            "source_account_id": source["id"],
            "destination_account_id": self.random.choice(others)["id"],
            "amount": {"amount": "1.00", "currency": source["currency"]},
            "description": f"demo {next(self.numbers)}",  # found again in the database at the end
        }
        return Call(WRITE, "/payments", body)

    def _pick(self, merchant: dict[str, Any]) -> dict[str, Any]:
        picked: dict[str, Any] = self.random.choice(merchant["accounts"])
        return picked


def _send(connection: HTTPConnection, call: Call, headers: dict[str, str], user: str) -> Seen:
    """One exchange; blocks. Never tried again: what a client would notice is counted."""
    body = None if call.json is None else json.dumps(call.json)
    if body is not None:
        headers = {**headers, "content-type": "application/json"}
    start = time.perf_counter()
    backend, status, problem = "", 0, ""
    try:
        connection.request(call.endpoint.split()[0], call.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        connection.close()  # the next request opens it again
        problem = f"{type(error).__name__}: {error}"
    else:
        backend, status = answer.getheader("x-served-by", ""), answer.status
        if status >= 400:
            problem = answer.getheader("x-proxy-error") or content[:200].decode(errors="replace")
    return Seen(call.endpoint, backend, status, time.perf_counter() - start, user, problem)
