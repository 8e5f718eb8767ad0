"""A worker that stands still while others settle what it had claimed does not send that when it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from proxy.cli.demo.postgres import Postgres
from proxy.store.writes import listing, settle
from tests import plain
from tests.edge.harness import Script, Wire, ok
from tests.support.ports import free_port
from tests.support.waiting import eventually

PATIENCE = 60.0  # seconds; a lease of 15 s has to run out


class Gate:
    """A backend that counts each write and answers the one called `a` when it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.executed: Counter[str] = Counter()

    def __call__(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                body = wire.request().rpartition(b"\r\n\r\n")[2]
                self.executed[body.decode()] += 1
                if body == b"a":
                    self.open.wait(PATIENCE)
                wire.send(ok(body))


class Replica:
    """One worker with one connection, so that a second write waits, claimed and unsent."""

    def __init__(self, directory: Path, state: str, backend: Script) -> None:
        directory.mkdir()
        self.port, admin = free_port(), free_port()
        self.admin = f"http://127.0.0.1:{admin}"
        file = directory / "routing.yaml"
        timeouts = "{connect: 2m, response: 2m}"
        file.write_text(f"""\
server:
  listen: 127.0.0.1:{self.port}
  admin: 127.0.0.1:{admin}
  workers: 1
  runtime_dir: {directory}
  state: "{state}"
  timeouts: {{worker: 5m}}
backends:
  legacy: {{url: "{backend.url}", connections: 1, timeouts: {timeouts}}}
  async: {{url: "http://127.0.0.1:9"}}
endpoints:
  POST /w: {{weight: 0, idempotency: required}}
""")
        with (directory / "log").open("wb") as log:
            argv = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
            self.process = subprocess.Popen(argv, stderr=log)

    def wait(self) -> None:
        eventually(lambda: plain.get(f"{self.admin}/readyz").status_code == 200, "ready")

    def worker(self) -> int:
        pid: int = plain.get(f"{self.admin}/api/v1/config").json()["workers"][0]["pid"]
        return pid

    def pay(self, key: str) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.port}/w"
        headers = {"idempotency-key": key, "host": "api.example"}  # whichever replica is asked
        return plain.post(url, content=key, headers=headers, timeout=PATIENCE * 2)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def state(postgres: Postgres) -> Iterator[str]:
    yield postgres.database("paused")
    postgres.drop("paused")


@pytest.fixture
def replicas(tmp_path: Path, state: str, gate: Gate) -> Iterator[list[Replica]]:
    backend = Script(gate)
    made = [Replica(tmp_path / str(number), state, backend) for number in range(2)]
    try:
        for each in made:
            each.wait()
        yield made
    finally:
        gate.open.set()
        for each in made:
            each.process.terminate()
        for each in made:
            each.process.wait()
        backend.close()


def stored(state: str, key: str) -> str:
    """In which state the store has the key; "" if it does not know it."""
    found = [record for record in asyncio.run(listing(state)) if record.key == key]
    return found[0].state if found else ""


def test_a_write_that_was_settled_while_its_worker_stood_still_is_not_sent(
    replicas: list[Replica], gate: Gate, state: str
) -> None:
    paused, other = replicas
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(paused.pay, "a")
        eventually(lambda: gate.executed["a"], "a occupies the connection")
        second = pool.submit(paused.pay, "b")
        eventually(lambda: stored(state, "b") == "sent", "b is claimed")
        pid = paused.worker()
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: stored(state, "b") == "unknown", "b is taken for lost")
            (lost,) = [record for record in asyncio.run(listing(state)) if record.key == "b"]
            asyncio.run(settle(state, lost.id, done=False, reason="nothing in the data", author="test"))
            retry = other.pay("b")
            gate.open.set()
        finally:
            os.kill(pid, signal.SIGCONT)
        late = second.result()
        assert (retry.status_code, retry.text) == (200, "b")
        assert (late.status_code, "claim_lost" in late.headers["x-proxy-error"]) == (503, True)
        assert first.result().text == "a"
    assert gate.executed == {"a": 1, "b": 1}
