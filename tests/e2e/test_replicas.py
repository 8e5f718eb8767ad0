"""Two instances of the proxy with one PostgreSQL database: what one claims, the other knows."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from proxy.cli.demo.postgres import Postgres
from tests import plain
from tests.e2e.test_backend_killed import Backend
from tests.support.ports import free_port
from tests.support.waiting import eventually

WRITES = 20


class Replica:
    """An instance; every write without a claim goes to the backend that `weight` says."""

    def __init__(self, directory: Path, state: str, legacy: Backend, async_: Backend, weight: int) -> None:
        self.port, self._admin = free_port(), free_port()
        file = directory / "routing.yaml"
        directory.mkdir()
        file.write_text(f"""\
server:
  listen: 127.0.0.1:{self.port}
  admin: 127.0.0.1:{self._admin}
  workers: 1
  runtime_dir: {directory}
  state: "{state}"
backends:
  legacy: {{url: "http://127.0.0.1:{legacy.port}"}}
  async: {{url: "http://127.0.0.1:{async_.port}"}}
endpoints:
  POST /w: {{weight: {weight}, force: "a replica that has not seen the change yet", idempotency: required}}
""")
        argv = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, stderr=log)

    def wait(self) -> None:
        eventually(lambda: plain.get(f"http://127.0.0.1:{self._admin}/readyz").status_code == 200, "ready")

    def pay(self, key: str) -> httpx2.Response:
        headers = {"idempotency-key": key, "host": "api.example"}  # clients know one URL
        return plain.post(f"http://127.0.0.1:{self.port}/w", content=key, headers=headers, timeout=30)


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[tuple[Backend, Backend]]:
    both = Backend(tmp_path, "legacy"), Backend(tmp_path, "async")
    yield both
    for each in both:
        each.kill()


@pytest.fixture
def replicas(
    tmp_path: Path, postgres: Postgres, backends: tuple[Backend, Backend]
) -> Iterator[list[Replica]]:
    state = postgres.database("replicas")
    made = [Replica(tmp_path / str(weight), state, *backends, weight) for weight in (0, 100)]
    try:
        for each in made:
            each.wait()
        yield made
    finally:
        for each in made:
            each.process.terminate()
        for each in made:
            each.process.wait()
        postgres.drop("replicas")


def test_a_key_that_is_sent_to_both_replicas_at_once_is_executed_once(
    replicas: list[Replica], backends: tuple[Backend, Backend]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [(n, pool.submit(each.pay, f"k{n}")) for n in range(WRITES) for each in replicas]
        first = [(n, answer.result().status_code) for n, answer in asked]
    assert {status for _, status in first} <= {201, 409}  # 409: the other one had it in flight
    assert {n for n, status in first if status == 201} == set(range(WRITES))
    keys = [f"k{n}" for n in range(WRITES)]
    for number, each in enumerate(replicas):
        assert each.pay(f"own{number}").headers["x-served-by"] == ("legacy", "async")[number]
        keys.append(f"own{number}")
    again = [each.pay(key) for key in keys for each in replicas]
    assert {answer.headers.get("idempotent-replayed") for answer in again} == {"true"}
    written = backends[0].written() + backends[1].written()
    assert written == Counter(keys)
