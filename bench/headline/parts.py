"""What runs during a headline: relay, database, FX provider, both backends, proxy, users."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from bench.crowd import lines, site
from bench.crowd.driver import Crowd
from bench.crowd.site import Database, Proxy
from bench.headline import extras
from bench.processes import Child, free_port

CONNECTIONS = 900  # that PostgreSQL takes
ACCOUNTS = 10_000
PROXY_WORKERS = 2


@dataclass(frozen=True)
class Target:
    """Backend processes that are measured together."""

    name: str
    backend: str  # legacy or async
    processes: int
    pids: tuple[int, ...]
    urls: tuple[str, ...]
    bound: float  # milliseconds that P99 may be
    plus_waits: bool  # whether the bound is for what is left when a request's own waits are taken off
    compression: bool = False  # by the proxy


class Relay:
    """The waits between backends and what they ask."""

    def __init__(self, stack: ExitStack, directory: Path, servers: Mapping[str, str]) -> None:
        self.ports = {name: free_port() for name in servers}
        routes = [f"--route={self.ports[name]}={server}" for name, server in servers.items()]
        self.child: Child = lines.start("relay", ["bench.headline.relay", *routes], directory)
        stack.callback(self.child.stop)
        lines.hear(self.child, time.monotonic() + 20)

    def wait(self, milliseconds: float) -> None:
        """From now on each answer comes this much later."""
        self._tell({"wait": milliseconds / 1e3})

    def trips(self) -> int:
        """Round trips so far, on all routes."""
        return sum(self._tell({}).values())

    def _tell(self, command: dict[str, Any]) -> dict[str, int]:
        lines.tell(self.child, command)
        answer: dict[str, int] = lines.hear(self.child, time.monotonic() + 20)
        return answer


@dataclass
class Parts:
    directory: Path
    database: Database
    relay: Relay
    proxy: Proxy
    fx: int  # pid
    crowd: Crowd

    @property
    def kinds(self) -> dict[str, list[int]]:
        """Process ids that are the same for all targets."""
        assert self.proxy.child is not None
        return {
            "proxy": [self.proxy.child.process.pid],
            "postgres": [self.database.pid],
            "relay": [self.relay.child.process.pid],
            "fx": [self.fx],
            "users": self.crowd.pids,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Where backends find what they ask: behind the relay."""
        ports = self.relay.ports
        url = self.database.through(ports["postgres"])
        return {"DATABASE_URL": url, "FX_URL": f"http://127.0.0.1:{ports['fx']}"}

    def database_connections(self) -> int:
        with psycopg.connect(self.database.url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone()
        return row[0] - 1 if row else 0

    def route(self, target: Target) -> None:
        """All users to this target."""
        others = [f"http://127.0.0.1:{free_port()}"]
        if target.backend == "legacy":
            self.proxy.route(target.urls, others, 0)
        else:
            self.proxy.route(others, target.urls, 100, compression=target.compression)


def start(stack: ExitStack, directory: Path, think: float, accounts: int = ACCOUNTS) -> Parts:
    database = site.start_database(stack, directory, CONNECTIONS, accounts)
    fx, fx_port = site.start_fx(stack, directory)
    servers = {"postgres": database.socket, "fx": str(fx_port)}
    if (bouncer := extras.pgbouncer(stack, directory, database)) is not None:
        servers["pgbouncer"] = str(bouncer)
    relay = Relay(stack, directory, servers)
    proxy = Proxy(directory, PROXY_WORKERS, 1024)
    nowhere = [f"http://127.0.0.1:{free_port()}"]
    proxy.start(stack, nowhere, nowhere, 0)
    crowd = start_crowd(stack, directory, proxy, database, think)
    return Parts(directory, database, relay, proxy, fx.process.pid, crowd)


def start_crowd(
    stack: ExitStack,
    directory: Path,
    proxy: Proxy,
    database: Database,
    think: float,
    more: Sequence[str] = (),
) -> Crowd:
    arguments = [f"--book={database.book}", f"--think={think}", "--rate=2000", *more]
    crowd = Crowd(proxy.data, 1, arguments, directory)
    stack.callback(crowd.stop)
    return crowd


def legacy(stack: ExitStack, parts: Parts, processes: int, bound: float) -> Target:
    child, url = site.start_legacy(stack, parts.directory, processes, parts.environment)
    return Target("legacy", "legacy", processes, (child.process.pid,), (url,), bound, False)


def async_(
    stack: ExitStack, parts: Parts, name: str, processes: int, bound: float, more: Mapping[str, str]
) -> Target:
    environment = {**parts.environment, **more}
    children, urls = site.start_async(stack, parts.directory, processes, environment)
    pids = tuple(child.process.pid for child in children)
    return Target(name, "async", processes, pids, tuple(urls), bound, True)


def some(target: Target, name: str, processes: int) -> Target:
    """The same, but only the first `processes` of them get requests."""
    pids, urls = target.pids[:processes], target.urls[:processes]
    return replace(target, name=name, processes=processes, pids=pids, urls=urls)
