"""The payments API behind the proxy, as ordinary processes: database, FX provider, both backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bench import compiled
from bench.processes import BenchError, Child, free_port, spawn, wait_for_port
from proxy.cli.demo import postgres

DATABASE = "strangler_bench"
PATIENCE = 60.0  # seconds in which a new table must have reached every worker
CONFIG = """\
server:
  listen: 127.0.0.1:{data}
  admin: 127.0.0.1:{admin}
  workers: {workers}
  runtime_dir: {directory}/run
  state: sqlite:///{directory}/state.db
  timeouts: {{keep_alive: 10m}}
backends:
  legacy: {{urls: {legacy}, connections: {connections}, timeouts: {{connect: 30s, response: 60s}}}}
  async: {{urls: {async_}, connections: {connections}, timeouts: {{connect: 30s, response: 60s}}}}
sticky: {{key: [header:x-user-id]}}
phases: {{all: {{methods: [GET, POST]}}}}
endpoints:
"""
ENDPOINTS = (
    "GET /accounts/{account_id}",
    "GET /accounts/{account_id}/transactions",
    "GET /payments/{payment_id}",
    "GET /payments",
    "GET /quotes",
    "POST /payments",
)
EVERYWHERE = frozenset(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Database:
    """A seeded ledger. `url` is in libpq form; `socket` is where a relay reaches the server."""

    url: str
    book: Path
    socket: str
    pid: int

    def through(self, port: int) -> str:
        """The same database over TCP on this machine."""
        parts = urlsplit(self.url)
        return f"postgresql://{parts.username or 'postgres'}@127.0.0.1:{port}{parts.path}"


def start_database(stack: ExitStack, directory: Path, connections: int, accounts: int) -> Database:
    """A new PostgreSQL with 50 merchants, `accounts` accounts and five payments for each."""
    data = directory / "postgres"
    server = stack.enter_context(postgres.running(data, settings={"max_connections": str(connections)}))
    url = server.database(DATABASE)
    legacy(["migrate"], url)
    sizes = [f"--accounts={accounts}", f"--payments={5 * accounts}", "--merchants=50"]
    book = directory / "book.json"
    book.write_text(legacy(["seed", *sizes], url))
    folder = str(dict(part.split("=") for part in urlsplit(url).query.split("&"))["host"])
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    return Database(url, book, f"{folder}/.s.PGSQL.5432", pid)


def legacy(arguments: Sequence[str], url: str) -> str:
    """What `python -m legacy_flask ARGUMENTS` prints. Raises BenchError if it fails."""
    command = [sys.executable, "-m", "legacy_flask", *arguments]
    environment = {**os.environ, "DATABASE_URL": url}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    if result.returncode:
        raise BenchError(f"{' '.join(command[1:])} failed: {result.stderr.strip()[-400:]}")
    return result.stdout


def start_fx(stack: ExitStack, directory: Path) -> tuple[Child, int]:
    port = free_port()
    argv = [sys.executable, "-m", "fx_provider", "--port", str(port), "--latency", "0ms"]
    return _started(stack, spawn("fx", argv, directory, EVERYWHERE), port), port


def start_async(
    stack: ExitStack, directory: Path, count: int, environment: Mapping[str, str]
) -> tuple[list[Child], list[str]]:
    """`count` processes, each with a port of its own: they share nothing but the database."""
    ports = [free_port() for _ in range(count)]
    children = []
    for number, port in enumerate(ports):
        settings = {"PORT": str(port), **environment}
        child = spawn(f"async-{number}", [sys.executable, "-m", "async_api"], directory, EVERYWHERE, settings)
        children.append(_started(stack, child, port))
    return children, [f"http://127.0.0.1:{port}" for port in ports]


def start_legacy(
    stack: ExitStack, directory: Path, workers: int, environment: Mapping[str, str]
) -> tuple[Child, str]:
    """gunicorn with `workers` sync workers."""
    port = free_port()
    settings = {"BIND": f"127.0.0.1:{port}", "WEB_CONCURRENCY": str(workers), **environment}
    argv = [sys.executable, "-m", "gunicorn", "legacy_flask.app:create_app()"]
    argv += ["-c", "legacy_flask/gunicorn.conf.py"]
    child = spawn("legacy", argv, directory, EVERYWHERE, settings)
    return _started(stack, child, port), f"http://127.0.0.1:{port}"


@dataclass
class Proxy:
    """The strangler proxy; `route` changes where everything goes while it serves."""

    directory: Path
    workers: int
    connections: int  # to each backend, of each worker; all of them have to fit into its queue of new ones
    data: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    child: Child | None = None

    def start(self, stack: ExitStack, legacy: Sequence[str], async_: Sequence[str], weight: int) -> None:
        self._write(legacy, async_, weight)
        argv = [sys.executable, "-m", "proxy", "serve", "--config", str(self.directory / "routing.yaml")]
        build = compiled.environment() if compiled.is_current() else None
        self.child = _started(stack, spawn("proxy", argv, self.directory, EVERYWHERE, build), self.admin)
        self._everywhere(self._config()["hash"])

    def route(
        self, legacy: Sequence[str], async_: Sequence[str], weight: int, *, compression: bool = False
    ) -> None:
        """Returns when every worker has it. Raises BenchError."""
        self._write(legacy, async_, weight, compression)
        answer = httpx2.post(self._url("/api/v1/reload"), trust_env=False, timeout=30)
        if answer.status_code != 200:
            raise BenchError(f"the proxy refused a table: {answer.text}")
        self._everywhere(answer.json()["hash"])

    def _write(
        self, legacy: Sequence[str], async_: Sequence[str], weight: int, compression: bool = False
    ) -> None:
        text = CONFIG.format(
            data=self.data,
            admin=self.admin,
            workers=self.workers,
            connections=self.connections,
            directory=self.directory,
            legacy=json.dumps(list(legacy)),
            async_=json.dumps(list(async_)),
        )
        settings = f"weight: {weight}, fallback: none, compression: {'on' if compression else 'off'}"
        lines = "".join(f"  {endpoint}: {{{settings}}}\n" for endpoint in ENDPOINTS)
        new = self.directory / "routing.yaml.new"
        new.write_text(text + lines)
        new.replace(self.directory / "routing.yaml")

    def _everywhere(self, wanted: str) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            hashes = [worker["hash"] for worker in self._config()["workers"]]
            if len(hashes) == self.workers and set(hashes) == {wanted}:
                return
            time.sleep(0.05)
        assert self.child is not None
        late = f"not every worker of the proxy had the new table within {PATIENCE:g} s"
        raise BenchError(f"{late}; {self.child.failure()}")

    def _config(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx2.get(self._url("/api/v1/config"), trust_env=False, timeout=30).json()
        return answer

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.admin}{path}"


def _started(stack: ExitStack, child: Child, port: int) -> Child:
    stack.callback(child.stop)
    wait_for_port(child, port, 60)
    return child
