"""Clients that pay, refund, and try again with the same key until they know what became of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from tests import plain
from tests.faults.site import Site

TRIES = 80
LEAVES = 0.03  # share of requests whose client does not wait for the answer
Outcome = Literal["open", "acknowledged", "refused", "unknown"]


@dataclass
class Write:
    """What one client wants once. `key` is also the payment's description, or the refund's reason."""

    key: str
    path: str
    body: dict[str, Any]
    user: str
    outcome: Outcome = "open"
    id: str = ""  # of what was made, as acknowledged

    @property
    def is_refund(self) -> bool:
        return self.path.endswith("/refunds")


class Clients:
    """`done` is how many writes have come to an end so far."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._rng = random.Random(seed)
        self._seed = seed
        self.writes: list[Write] = []
        self.done = 0
        self.fired: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()

    async def run(self, count: int, clients: int) -> None:
        """`count` payments and refunds; then once more what is still open, with nothing in its way."""
        async with self._session() as session:
            numbers = iter(range(count))
            await asyncio.gather(*(self._client(session, f"user-{n}", numbers) for n in range(clients)))

    async def finish(self) -> None:
        async with self._session() as session:
            for write in self.writes:
                if write.outcome == "open":
                    await self._settle(session, write, leaves=0.0)

    def _session(self) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {self._site.merchant['api_key']}"}
        limits = httpx2.Limits(max_connections=200)
        return plain.async_client(base_url=self._site.url, headers=headers, timeout=20, limits=limits)

    async def _client(self, session: httpx2.AsyncClient, user: str, numbers: Any) -> None:
        refundable: list[str] = []
        for number in numbers:
            key = f"f{self._seed}-{number}"
            if refundable and self._rng.random() < 0.3:
                path, body = (
                    f"/payments/{refundable.pop()}/refunds",
                    {"amount": _euros("0.01"), "reason": key},
                )
            else:
                path, body = "/payments", self._order(key)
            write = Write(key, path, body, user)
            self.writes.append(write)
            await self._settle(session, write, LEAVES)
            self.done += 1
            if write.outcome == "acknowledged" and not write.is_refund:
                refundable.append(write.id)

    def _order(self, key: str) -> dict[str, Any]:
        accounts = [a["id"] for a in self._site.merchant["accounts"] if a["currency"] == "EUR"]
        source, destination = self._rng.sample(accounts, 2)
        ends = {"source_account_id": source, "destination_account_id": destination}
        return {**ends, "amount": _euros("0.02"), "description": key}

    async def _settle(self, session: httpx2.AsyncClient, write: Write, leaves: float) -> None:
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(0.5, 0.02 * 2**attempt) * (0.5 + self._rng.random()))
            response = await self._try(session, write, leaves)
            if response is None:
                continue
            self.statuses[f"{response.status_code} {response.headers.get('x-proxy-error', '')}"] += 1
            if response.status_code == 201:
                write.outcome, write.id = "acknowledged", response.json()["id"]
            elif response.status_code == 409 and response.json().get("outcome") == "unknown":
                write.outcome = "unknown"
            elif response.status_code in (404, 422):
                write.outcome = "refused"
            else:
                continue
            return

    async def _try(self, session: httpx2.AsyncClient, write: Write, leaves: float) -> httpx2.Response | None:
        headers = {"idempotency-key": write.key, "x-user-id": write.user}
        patience = self._rng.random() * 0.03 if self._rng.random() < leaves else None
        try:
            async with asyncio.timeout(patience):
                return await session.post(write.path, json=write.body, headers=headers)
        except TimeoutError:
            self.fired["client_left"] += 1
        except httpx2.TransportError as error:
            self.statuses[type(error).__name__] += 1
        return None


def _euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}
