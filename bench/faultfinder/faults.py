"""Twelve faults, each changing some of async's answers. Which ones follows from the request alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from bench.faultfinder.world import Reply, Request

Change = Callable[[Reply, Request], Reply]

PACE: Final = ":pace"  # the place of a fault that only takes longer


class Fault(NamedTuple):
    """`place`: the path at which it has to be found. `rate`: of the requests, for people."""

    name: str
    endpoint: str
    rate: str
    place: str
    change: Change


def _share(request: Request, name: str, rate: float) -> bool:
    return random.Random(f"{name} {request.number}").random() < rate


def _cent(reply: Reply, request: Request) -> Reply:
    if not _share(request, "cent", 0.001):
        return reply
    return _with(reply, balance=f"{float(reply.body['balance']) + 0.01:.2f}")


def _status(reply: Reply, request: Request) -> Reply:
    gone = request.id == 700
    return reply._replace(status=404, body={"error": "not found"}) if gone else reply


def _missing(reply: Reply, request: Request) -> Reply:
    if reply.body["segment"] != 7:
        return reply
    body = {name: value for name, value in reply.body.items() if name != "nickname"}
    return reply._replace(body=body)


def _page(reply: Reply, request: Request) -> Reply:
    if request.page != 3:
        return reply
    body = copy.deepcopy(reply.body)
    for item in body["items"]:
        name, _, number = item["id"].partition("_")
        item["id"] = f"{name}_{int(number) + 1}"
    return reply._replace(body=body)


def _number(reply: Reply, request: Request) -> Reply:
    balance = reply.body["balance"]
    return (
        _with(reply, balance=float(balance)) if balance.endswith("0") and _share(request, "n", 0.1) else reply
    )


def _ties(reply: Reply, request: Request) -> Reply:
    """Items of one day come the other way round."""
    if not _share(request, "ties", 0.02):
        return reply
    items = list(reply.body["items"])
    items[0], items[1] = items[1], items[0]
    return _with(reply, items=items)


def _cache(reply: Reply, request: Request) -> Reply:
    if not _share(request, "cache", 0.01):
        return reply
    return reply._replace(headers={**reply.headers, "cache-control": "max-age=60"})


def _dst(reply: Reply, request: Request) -> Reply:
    """A time that differs between any two answers is an hour off."""
    made = datetime.fromisoformat(reply.body["made_at"][:-1]) + timedelta(hours=1)
    return _with(reply, made_at=made.isoformat() + "Z")


def _host(reply: Reply, request: Request) -> Reply:
    if not _share(request, "host", 0.02):
        return reply
    location = reply.headers["location"].replace("https://shop.example", "http://10.0.0.7:8080")
    return reply._replace(headers={**reply.headers, "location": location})


def _charset(reply: Reply, request: Request) -> Reply:
    if not _share(request, "charset", 0.005):
        return reply
    return reply._replace(headers={**reply.headers, "content-type": "application/json"})


def _duplicate(reply: Reply, request: Request) -> Reply:
    """In a list that comes in any order."""
    if not _share(request, "twice", 0.005):
        return reply
    hits = sorted(reply.body["hits"], key=lambda hit: str(hit["sku"]))
    hits[-1] = hits[0]
    return _with(reply, hits=hits)


def _slow(reply: Reply, request: Request) -> Reply:
    return reply._replace(seconds=reply.seconds * 4) if request.id % 4 == 0 else reply


def _with(reply: Reply, **members: Any) -> Reply:
    return reply._replace(body={**reply.body, **members})


_ACCOUNT, _LIST = "GET /accounts/{id}", "GET /accounts/{id}/transactions"

FAULTS: Final = (
    Fault("one cent too much", _ACCOUNT, "1 in 1,000", "balance", _cent),
    Fault("404 for one id", _ACCOUNT, "1 id of 2,000", ":status", _status),
    Fault("a field missing for one segment", _ACCOUNT, "1 segment of 50", "nickname", _missing),
    Fault("page off by one", _LIST, "page 3, 1 in 5", "items[].id", _page),
    Fault("number in place of text", _ACCOUNT, "1 in 100", "balance", _number),
    Fault("ties in another order", _LIST, "1 in 50", "items[].id", _ties),
    Fault("another cache-control", "GET /go/{id}", "1 in 100", "header:cache-control", _cache),
    Fault("an hour off, in a time that always differs", "GET /reports/{id}", "always", "made_at", _dst),
    Fault("inner host in Location", "GET /go/{id}", "1 in 50", "header:location", _host),
    Fault("charset missing", _ACCOUNT, "1 in 200", "header:content-type", _charset),
    Fault("an item twice, in a shuffled list", "GET /search", "1 in 200", "hits[].sku", _duplicate),
    Fault("four times slower", _ACCOUNT, "1 id in 4", PACE, _slow),
)


def planted(fault: Fault | None, reply: Reply, request: Request) -> Reply:
    """A flake has nothing that could be changed."""
    return reply if fault is None or reply.status == 503 else fault.change(reply, request)
