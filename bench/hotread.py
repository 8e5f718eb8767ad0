"""What collapsing and Redis gain when many clients want the same: `python -m bench.hotread [--seconds 5]`.

Clients on kept connections request one thing from one process of async_api, as fast as it answers. Needs
nothing but the development environment; prints the table of docs/results/caching.md. CPU time comes from
/proc, so it is more reliable on a busy machine than requests per second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import uvloop

from bench.crowd import document, site
from bench.headline import extras
from bench.processes import cpu_of, free_port

QUERIES = "payments_pool_wait_seconds_count"  # one for each use of a database connection
VARIANTS: dict[str, dict[str, str]] = {
    "neither": {"COLLAPSE": "false"},
    "collapsing": {},
    "Redis": {"COLLAPSE": "false", "REDIS_URL": "{valkey}"},
    "both": {"REDIS_URL": "{valkey}"},
}


class Row(NamedTuple):
    requests: int
    per_second: float
    queries: float  # of the database, for one request
    service: float  # microseconds of CPU for one request
    database: float


async def load(port: int, target: str, api_key: str, clients: int, seconds: float) -> int:
    """Requests answered with 200; anything else raises."""
    request = f"GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api_key}\r\n\r\n".encode()
    end = time.monotonic() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.monotonic() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode("latin-1"))
            length = re.search(rb"content-length: (\d+)", head, re.I)
            await reader.readexactly(int(length[1]) if length else 0)
            answered += 1
        writer.close()
        return answered

    return sum(await asyncio.gather(*(client() for _ in range(clients))))


def queries(port: int) -> float:
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    found = re.search(rf"^{QUERIES} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def measure(
    directory: Path,
    database: site.Database,
    environment: Mapping[str, str],
    target: str,
    api_key: str,
    options: argparse.Namespace,
) -> Row:
    metrics = free_port()
    settings = {"DATABASE_URL": database.url, "METRICS_PORT": str(metrics), "POOL_WAIT": "30", **environment}
    with ExitStack() as stack:
        [child], [url] = site.start_async(stack, directory, 1, settings)
        port = int(url.rsplit(":", 1)[1])
        uvloop.run(load(port, target, api_key, options.clients, min(1.0, options.seconds)))
        pids = (child.process.pid, database.pid)
        before = [sum(cpu_of(pid)) for pid in pids] + [queries(metrics), time.monotonic()]
        requests = uvloop.run(load(port, target, api_key, options.clients, options.seconds))
        after = [sum(cpu_of(pid)) for pid in pids] + [queries(metrics), time.monotonic()]
    service, server, asked, seconds = (new - old for new, old in zip(after, before, strict=True))
    return Row(
        requests, requests / seconds, asked / requests, service / requests * 1e6, server / requests * 1e6
    )


def things(book: Mapping[str, Any], url: str) -> tuple[str, dict[str, str]]:
    """An API key, and what is asked for with it: a list, and a payment that is refunded in full."""
    merchant = book["merchants"][0]
    payment = merchant["payments"][0]
    headers = {"authorization": f"Bearer {merchant['api_key']}"}
    refund = httpx2.post(f"{url}/payments/{payment}/refunds", json={}, headers=headers, trust_env=False)
    refund.raise_for_status()
    account = merchant["accounts"][0]["id"]
    return merchant["api_key"], {
        "20 transactions": f"/accounts/{account}/transactions",
        "a settled payment": f"/payments/{payment}",
    }


def table(rows: Mapping[tuple[str, str], Row]) -> str:
    lines = [
        ("asked for", "with", "requests/s", "queries per request", "service, us CPU", "PostgreSQL, us CPU")
    ]
    for (what, variant), row in rows.items():
        lines.append(
            (
                what,
                variant,
                f"{row.per_second:,.0f}",
                f"{row.queries:.2f}",
                f"{row.service:,.0f}",
                f"{row.database:,.0f}",
            )
        )
    return document.table(lines)


def run(options: argparse.Namespace) -> dict[tuple[str, str], Row]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = site.start_database(stack, directory, 100, accounts=400)
        valkey = extras.valkey(stack) or ""
        with ExitStack() as started:
            _, [url] = site.start_async(started, directory, 1, {"DATABASE_URL": database.url})
            api_key, targets = things(json.loads(database.book.read_text()), url)
        rows = {}
        for what, target in targets.items():
            for variant, settings in VARIANTS.items():
                environment = {name: value.format(valkey=valkey) for name, value in settings.items()}
                rows[what, variant] = measure(directory, database, environment, target, api_key, options)
        return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.hotread", description=__doc__)
    parser.add_argument("--clients", type=int, default=64, help="at a time (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row (default %(default)s)")
    parser.add_argument("--into", type=Path, help="put the table into this file: docs/results/caching.md")
    options = parser.parse_args(arguments)
    figures = table(run(options))
    print(figures)
    if options.into:
        document.insert(options.into, "bench-hotread", figures)


if __name__ == "__main__":
    main()
