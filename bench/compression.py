"""CPU time that a content-coding costs per answer, and the size left: `python -m bench.compression`.

The same code as the data path's, without sockets: median of interleaved rounds, with their spread.
"""

from __future__ import annotations

import json
import random
import statistics
import time

from proxy.core.http1.request import parse_request
from proxy.core.http1.response import parse_response
from proxy.core.settings import Compression, Limits
from proxy.edge.exchange.compression import CODERS, begin

ROUNDS = 15
ANSWERS = 100


def page(entries: int) -> bytes:
    """A page of the payments API's transactions; the same on every run."""
    chance = random.Random(1)
    items = [
        {
            "id": f"txn_{chance.getrandbits(80):020x}",
            "type": chance.choice(["payment", "refund", "opening"]),
            "payment_id": f"pay_{chance.getrandbits(80):020x}",
            "amount": {"amount": f"{chance.randrange(-99999, 99999) / 100:.2f}", "currency": "EUR"},
            "created_at": f"2026-01-{chance.randrange(1, 29):02}T12:{chance.randrange(60):02}:00.000000Z",
        }
        for _ in range(entries)
    ]
    return json.dumps({"items": items, "next_cursor": None}).encode()


def cpu(accepted: str, body: bytes) -> tuple[float, int]:
    """Microseconds of CPU per answer, and its size in bytes."""
    line = f"Accept-Encoding: {accepted}\r\n" if accepted else ""
    request = parse_request(f"GET /a HTTP/1.1\r\nHost: h\r\n{line}\r\n".encode(), Limits())
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    size = 0
    start = time.process_time_ns()
    for _ in range(ANSWERS):
        _, data, _ = begin(Compression(), request, parse_response(head, "GET"), body, True)
        size = len(data)
    return (time.process_time_ns() - start) / 1000 / ANSWERS, size


def main() -> None:
    for entries in (10, 50, 500):
        body = page(entries)
        rows: dict[str, list[float]] = {accepted: [] for accepted in ("", *CODERS)}
        sizes = {}
        for _ in range(ROUNDS):
            for accepted, found in rows.items():
                microseconds, sizes[accepted] = cpu(accepted, body)
                found.append(microseconds)
        print(f"{entries} entries, {len(body)} bytes")
        for accepted, found in rows.items():
            spread = f"{min(found):.1f}-{max(found):.1f}"
            middle = statistics.median(found)
            share = 100 * sizes[accepted] / len(body)
            print(f"  {accepted or 'none':5} {middle:8.1f} us ({spread}) {share:5.1f} % of the size")


if __name__ == "__main__":
    main()
