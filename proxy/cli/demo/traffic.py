"""Steady traffic of many users through the one URL, as clients of the payments API send it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx2

from proxy.cli.demo.routing import WRITE
from proxy.cli.demo.tally import Seen, Tally

USERS = 1_000
RATE = 150.0
"""Requests per second."""
CLIENTS = 16
"""Requests in flight at most; a slow answer makes its client late, not the others."""


@dataclass(frozen=True, slots=True)
class Call:
    endpoint: str
    path: str
    json: dict[str, Any] | None = None


class Traffic:
    """Sends until cancelled. The last of `tallies` counts what starts now."""

    def __init__(self, url: str, seeded: dict[str, Any], seed: int = 1) -> None:
        self.url = url
        self.merchants: list[dict[str, Any]] = seeded["merchants"]
        self.random = random.Random(seed)
        self.numbers = count(1)
        self.tallies = [Tally()]
        self.slots = asyncio.Semaphore(CLIENTS)  # all taken: paused
        self._makers: list[tuple[Callable[[dict[str, Any]], Call], int]] = [
            (self._account, 40),
            (self._transactions, 25),
            (self._payment, 25),
            (self._pay, 10),
        ]

    def begin(self) -> Tally:
        """A fresh tally for the requests from now on; the former one still gets what is in flight."""
        self.tallies.append(Tally())
        return self.tallies[-1]

    def total(self) -> Tally:
        whole = Tally()
        for tally in self.tallies:
            whole.merge(tally)
        return whole

    async def run(self) -> None:
        limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with (
            httpx2.AsyncClient(base_url=self.url, limits=limits, timeout=15) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(CLIENTS):
                group.create_task(self._client(client, number))

    async def _client(self, client: httpx2.AsyncClient, number: int) -> None:
        gap = CLIENTS / RATE
        due = time.monotonic() + gap * number / CLIENTS
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            async with self.slots:
                await self._send(client)
            due = max(due + gap, time.monotonic() - gap)

    async def pause(self) -> None:
        """Returns when nothing is in flight any more."""
        for _ in range(CLIENTS):
            await self.slots.acquire()

    def resume(self) -> None:
        for _ in range(CLIENTS):
            self.slots.release()

    async def _send(self, client: httpx2.AsyncClient) -> None:
        number = self.random.randrange(USERS)
        merchant = self.merchants[number % len(self.merchants)]
        makers, weights = zip(*self._makers, strict=True)
        call: Call = self.random.choices(makers, weights)[0](merchant)
        user, tally = f"user-{number:04}", self.tallies[-1]
        headers = {"authorization": f"Bearer {merchant['api_key']}", "x-user-id": user}
        start = time.perf_counter()
        backend, status, problem = "", 0, ""
        try:
            answer = await client.request(
                call.endpoint.split()[0], call.path, headers=headers, json=call.json
            )
        except httpx2.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            backend, status = answer.headers.get("x-served-by", ""), answer.status_code
            problem = answer.headers.get("x-proxy-error", "") or (answer.text[:200] if status >= 400 else "")
        tally.record(Seen(call.endpoint, backend, status, time.perf_counter() - start, user, problem))

    def _account(self, merchant: dict[str, Any]) -> Call:
        return Call("GET /accounts/{account_id}", f"/accounts/{self._pick(merchant)['id']}")

    def _transactions(self, merchant: dict[str, Any]) -> Call:
        path = f"/accounts/{self._pick(merchant)['id']}/transactions?limit=20"
        return Call("GET /accounts/{account_id}/transactions", path)

    def _payment(self, merchant: dict[str, Any]) -> Call:
        return Call("GET /payments/{payment_id}", f"/payments/{self.random.choice(merchant['payments'])}")

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
