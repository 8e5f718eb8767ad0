"""Two backends that answer alike but for noise: five endpoints, each with noise of its own.

An answer depends on the request, on the moment and on chance. `legacy` and `async` are drawn alike; a planted
fault changes async's afterwards.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

START: Final = datetime(2030, 3, 1, 10)
IDS: Final = 2000
USERS: Final = 5000
REPLICA_LAG: Final = 1 / 500  # of the requests, for which two replicas behind either backend disagree
FLAKE: Final = 1 / 2000  # of the answers are 503
WRITE: Final = 1 / 500  # chance that somebody else writes between two answers


class Request(NamedTuple):
    """`number` tells all that both backends must agree on; `page` and `limit` are parameters."""

    number: int
    id: int
    user: int
    page: int
    limit: int


class Reply(NamedTuple):
    """Before it is made into bytes, so that faults can be planted."""

    status: int
    headers: dict[str, str]
    body: Any
    seconds: float


Endpoint = Callable[["World", Request, random.Random], Reply]
"""The third is the same for both backends and each answer to one request."""


class World:
    """Time goes on between any two answers; other clients write."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = START
        self.writes = 0
        self.numbers = 0

    def request(self) -> Request:
        self.numbers += 1
        chance = self.chance
        page = chance.choice((1, 1, 1, 2, 3))
        # Some ids and users are asked for far more often than others.
        id_, user = int(IDS * chance.random() ** 2), int(USERS * chance.random() ** 2)
        return Request(chance.getrandbits(48), id_, user, page, chance.choice((5, 10)))

    def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        self.now += timedelta(seconds=0.002 + self.chance.expovariate(100))
        self.writes += self.chance.random() < WRITE
        if self.chance.random() < FLAKE:
            return Reply(503, {"content-type": "text/plain"}, "busy", 0.05)
        reply = endpoint(self, request, random.Random(request.number))
        seconds = 0.004 * self.chance.lognormvariate(0, 0.6)
        return reply._replace(seconds=seconds)

    def is_stale(self, same: random.Random) -> bool:
        """Whether this answer is of a replica that lags behind, of a request for which one does."""
        return same.random() < REPLICA_LAG and self.chance.random() < 0.5

    def trace(self) -> str:
        return f"{self.chance.getrandbits(64):016x}"


def _json(body: Any, status: int = 200, **headers: str) -> Reply:
    fields = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return Reply(status, {**fields, **headers}, body, 0.0)


def account(world: World, request: Request, same: random.Random) -> Reply:
    """A replica that lags now and then, a counter that others move, random ids of the request."""
    stale = world.is_stale(same)
    body = {
        "id": f"acc_{request.id}",
        "owner": f"Ada {request.id}",
        "segment": request.id % 50,
        "balance": f"{same.randrange(1, 100_000) / 100 - stale:.2f}",
        "opened_at": (START - timedelta(days=request.id)).isoformat() + "Z",
        "nickname": None if request.id % 3 else f"n{request.id}",
        "limits": [{"currency": each, "amount": 100 + request.id % 7} for each in ("EUR", "USD")],
        "version": world.writes // 40,
        "trace": world.trace(),
    }
    return _json(body, **{"x-request": world.trace()})


def transactions(world: World, request: Request, same: random.Random) -> Reply:
    """A page of a list in a fixed order, with a time of its own."""
    first = (request.page - 1) * request.limit
    items = [
        {"id": f"t{request.id}_{n}", "amount": f"{(request.id * 7 + n * 13) % 9000 / 100:.2f}", "day": n // 3}
        for n in range(first, first + request.limit)
    ]
    body = {"items": items, "page": request.page, "served_at": world.now.isoformat() + "Z"}
    return _json(body)


def search(world: World, request: Request, same: random.Random) -> Reply:
    """Hits in any order, each with a price; a random score."""
    hits = [{"sku": f"s{request.id}_{n}", "price": 100 + (request.id * n) % 900} for n in range(6)]
    world.chance.shuffle(hits)
    return _json({"hits": hits, "took": round(world.chance.random(), 4), "query": f"q{request.id}"})


def redirect(world: World, request: Request, same: random.Random) -> Reply:
    location = f"https://shop.example/items/{request.id}?session={world.trace()[:2]}"
    fields = {"location": location.partition("?")[0], "cache-control": "no-store"}
    return Reply(302, fields, "", 0.0)


def report(world: World, request: Request, same: random.Random) -> Reply:
    """A large document with the moment at which it was made, and figures that drift."""
    rows = [{"day": n, "sum": (request.id * 31 + n * 17) % 100_000, "name": f"row {n}"} for n in range(12)]
    body = {"rows": rows, "made_at": world.now.isoformat() + "Z", "seen": 100 + (world.chance.random() < 0.1)}
    return _json(body)


ENDPOINTS: Final[dict[str, Endpoint]] = {
    "GET /accounts/{id}": account,
    "GET /accounts/{id}/transactions": transactions,
    "GET /search": search,
    "GET /go/{id}": redirect,
    "GET /reports/{id}": report,
}


def encoded(reply: Reply) -> bytes:
    return reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
