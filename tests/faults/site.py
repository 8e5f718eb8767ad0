"""Everything that runs: PostgreSQL, both backends behind relays, the proxy. All of it may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from legacy_flask.config import Config
from legacy_flask.migrate import upgrade
from legacy_flask.seed import seed
from proxy.cli.demo import postgres
from proxy.store import claims_file
from tests import plain
from tests.contract.servers import ROOT
from tests.faults.relay import Cuts, Relay
from tests.support.ports import free_port

ENDPOINTS = ("POST /payments", "POST /payments/{payment_id}/refunds")
BREAK_OWNERSHIP = "STRANGLER_TEST_BREAK_OWNERSHIP"
START = 240.0  # seconds; a backend that is killed comes up late on a busy machine


class Program:
    """One of our processes, in a session of its own; may be killed and started again."""

    def __init__(self, folder: Path, name: str, argv: list[str], environment: Mapping[str, str]) -> None:
        self.log = folder / f"{name}.log"
        self._argv = [sys.executable, "-m", *argv]
        self._environment = {**os.environ, **environment}
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def started(self) -> bool:
        return bool(self._started)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self._started[-1]

    def start(self) -> None:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self._argv,
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)

    def kill(self, *, group: bool) -> None:
        if group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Whatever is left of every process that was ever started here."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Site:
    """A payments API behind the proxy; `merchant` is the one whose money is moved."""

    def __init__(self, folder: Path, database: str, merchant: dict[str, Any], *, broken: bool) -> None:
        self.database = database
        self.merchant = merchant
        self.cuts = Cuts()
        self.folder = folder
        self.state = f"sqlite:///{folder}/state.db"
        self.claims = claims_file(self.state)
        self.url, self._listen = _address()
        self.admin, self._admin_listen = _address()
        legacy, async_ = free_port(), free_port()
        self.relays = {"legacy": Relay(legacy, self.cuts), "async": Relay(async_, self.cuts)}
        shared = {"DATABASE_URL": database, "FX_URL": "http://127.0.0.1:9"}
        gunicorn = ["gunicorn", "-c", "legacy_flask/gunicorn.conf.py", "legacy_flask.app:create_app()"]
        self.legacy = Program(folder, "legacy", gunicorn, {**shared, "BIND": f"127.0.0.1:{legacy}"})
        self.async_ = Program(folder, "async", ["async_api"], {**shared, "PORT": str(async_)})
        serve = ["proxy", "serve", "--config", str(folder / "routing.yaml")]
        self.proxy = Program(folder, "proxy", serve, {BREAK_OWNERSHIP: "1"} if broken else {})
        self._backends = {"legacy": f"http://127.0.0.1:{legacy}", "async": f"http://127.0.0.1:{async_}"}

    async def start(self) -> None:
        for relay in self.relays.values():
            await relay.start()
        self.set_weights(random.Random(0))
        for program in (self.legacy, self.async_, self.proxy):
            program.start()
        for url in (*self._backends.values(), self.admin):
            path = "/readyz" if url == self.admin else "/healthz"
            await self._until_up(url + path)

    def stop(self) -> None:
        for program in (self.proxy, self.legacy, self.async_):
            program.stop()
        for relay in self.relays.values():
            relay.stop()

    async def kill_backend(self, name: str) -> None:
        """Kills it and starts it again; until it is up, connections to it are refused."""
        relay, program = self.relays[name], self.legacy if name == "legacy" else self.async_
        relay.stop()
        program.kill(group=True)
        program.start()
        await self._until_up(f"{self._backends[name]}/healthz")
        await relay.start()

    def set_weights(self, rng: random.Random) -> None:
        """Both writes to one random weight, in a file that the proxy watches."""
        weight = rng.choice([0, 50, 100])
        backends = {
            name: {"url": f"http://127.0.0.1:{relay.port}", "timeouts": {"response": "10s"}}
            for name, relay in self.relays.items()
        }
        server = {"listen": self._listen, "admin": self._admin_listen, "workers": 2, "state": self.state}
        config = {
            "server": {**server, "runtime_dir": str(self.folder / "run")},
            "backends": backends,
            "phases": {"writes": {"methods": ["POST"]}},
            "endpoints": {name: {"weight": weight, "idempotency": "required"} for name in ENDPOINTS},
        }
        new = self.folder / "routing.new"
        new.write_text(yaml.safe_dump(config, sort_keys=False))
        new.replace(self.folder / "routing.yaml")

    async def worker_pids(self) -> list[int]:
        async with _client() as client:
            answer = await client.get(f"{self.admin}/api/v1/config")
            return [worker["pid"] for worker in answer.json()["workers"]]

    async def _until_up(self, url: str) -> None:
        deadline = time.monotonic() + START
        async with _client() as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        logs = "\n".join(
            program.log.read_text()[-2000:] for program in (self.legacy, self.async_, self.proxy)
        )
        raise AssertionError(f"{url} did not come up:\n{logs}")


@asynccontextmanager
async def running(folder: Path, *, broken: bool) -> AsyncIterator[Site]:
    with postgres.running(folder / "pg" / "data", durable=False) as server:
        database = server.database("payments")
        upgrade(Config(database_url=database))
        merchant = seed(database, payments=50, accounts=20, merchants=1)["merchants"][0]
        site = Site(folder, database, merchant, broken=broken)
        try:
            await site.start()
            yield site
        finally:
            site.stop()


def _client() -> httpx2.AsyncClient:
    return plain.async_client(timeout=5)


def _address() -> tuple[str, str]:
    address = f"127.0.0.1:{free_port()}"
    return f"http://{address}", address
