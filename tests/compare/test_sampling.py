"""A running proxy that samples: real processes, two backends, evidence in the store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from proxy.core.comparison.comparisons import DRY_RUN, READ_BACK, Report, Sample, report
from proxy.core.comparison.marks import Mark
from proxy.core.wire.taps import SOCKET_NAME
from proxy.store import comparisons
from proxy.store.places import comparisons_file
from tests import plain
from tests.compare.backends import Backend, Reply
from tests.control.site import alive
from tests.support.ports import free_port
from tests.support.waiting import eventually

ENOUGH = 40  # comparisons for a verdict
GAP = 0.03  # seconds between requests: comparisons give way to them, so that more would only delay them
SECRETS = [
    "hunter2-bearer",
    "hunter2-cookie",
    "hunter2-apikey",
    "hunter2-query",
    "hunter2-field",
    "hunter2-set",
]
JSON = {"content-type": "application/json", "x-version": "v1", "set-cookie": "sid=hunter2-set"}

CREDENTIALS = {
    "authorization": "Bearer hunter2-bearer",
    "cookie": "sid=hunter2-cookie",
    "x-api-key": "hunter2-apikey",
    "idempotency-key": "k-1",
}


def backend(name: str) -> Backend:
    """Says a random id, a secret field, the caller's token; async lacks `owner` and has another `total`."""

    def one() -> Reply:
        body = {"id": uuid.uuid4().hex, "iban": f"hunter2-field-{name}", "echo": "Bearer hunter2-bearer"}
        body |= {"total": "12.34", "owner": "x"} if name == "legacy" else {"total": "12.35"}
        return Reply(json.dumps(body).encode(), 200, JSON)

    made = Reply(json.dumps({"id": "7"}).encode(), 201, {**JSON, "location": "/things/7", "x-dry-run": "1"})
    return Backend({"/a?token=hunter2-query": one, "/things": made, "/things/7": one})


class Proxy:
    """One `strangler serve` on free ports."""

    def __init__(self, folder: Path, legacy: Backend, async_: Backend) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.admin = f"http://127.0.0.1:{free_port()}"
        self.state = f"sqlite:///{folder}/state/state.db"
        self.config = folder / "routing.yaml"
        self.text = f"""
server:
  listen: {self.url[7:]}
  admin: {self.admin[7:]}
  workers: 1
  runtime_dir: {folder}/run
  state: {self.state}
backends:
  legacy: {{url: '{legacy.url}'}}
  async: {{url: '{async_.url}', dry_run: {{header: 'x-dry-run: 1'}}}}
compare: {{sample: 100%, rate: 1000, redact: [iban], headers: [content-type, set-cookie]}}
endpoints:
  GET /a: {{}}
  GET /things/{{id}}: {{}}
  POST /things: {{idempotency: off, compare: {{read_back: 'GET /things/{{id}}', dry_run: true}}}}
"""
        self.config.write_text(self.text)
        self._log = (folder / "log").open("wb")
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stderr=self._log, stdin=subprocess.DEVNULL)
        eventually(lambda: plain.get(f"{self.admin}/readyz").status_code == 200, "the proxy serves")

    @property
    def comparer(self) -> int | None:
        """The pid of the comparer, once it listens."""
        if not (self.folder / "run" / SOCKET_NAME).exists():
            return None
        mark = f"proxy.compare\0--folder\0{self.folder}/run".encode()
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and alive(int(process.name)):
                try:
                    if mark in (process / "cmdline").read_bytes():
                        return int(process.name)
                except OSError:
                    continue
        return None

    def reports(self) -> dict[str, Report]:
        """By endpoint."""

        async def read() -> dict[str, Report]:
            async with comparisons.opened(self.state) as engine, engine.connect() as connection:
                found = await comparisons.found(connection)
            return {each.scope.endpoint: report(each, found.traffic) for each in found.tallies}

        return asyncio.run(read())

    def samples(self, endpoint: str) -> list[Sample]:
        async def read() -> list[Sample]:
            async with comparisons.opened(self.state) as engine, engine.connect() as connection:
                (tally,) = (await comparisons.found(connection, endpoint)).tallies
                return await comparisons.samples(connection, tally.scope.id)

        return asyncio.run(read())

    def compared(self, endpoint: str) -> int:
        file = comparisons_file(self.state)
        if not file.exists():
            return 0
        with closing(sqlite3.connect(file)) as connection, suppress(sqlite3.OperationalError):  # no table yet
            query = "SELECT n FROM comparison_scopes WHERE endpoint = ?"
            return sum(n for (n,) in connection.execute(query, (endpoint,)))
        return 0

    def close(self) -> None:
        comparer = self.comparer
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self._log.close()
        assert comparer is None or not alive(comparer)
        print((self.folder / "log").read_text())


@pytest.fixture
def backends() -> Iterator[tuple[Backend, Backend]]:
    legacy, async_ = backend("legacy"), backend("async")
    yield legacy, async_
    legacy.close()
    async_.close()


@pytest.fixture
def proxy(tmp_path: Path, backends: tuple[Backend, Backend]) -> Iterator[Proxy]:
    running = Proxy(tmp_path, *backends)
    try:
        yield running
    finally:
        running.close()


def get(proxy: Proxy) -> httpx2.Response:
    return plain.get(f"{proxy.url}/a?token=hunter2-query", headers=CREDENTIALS)


def test_sampled_traffic_becomes_a_verdict_and_no_secret_is_stored(
    proxy: Proxy, backends: tuple[Backend, Backend], tmp_path: Path
) -> None:
    eventually(lambda: proxy.comparer, "the comparer listens")
    asked = 0
    while proxy.compared("GET /a") < ENOUGH:  # on a busy machine a sample may be skipped
        assert get(proxy).status_code == 200
        asked += 1
        time.sleep(GAP)
    for name in (f"POST /things{kind}" for kind in (READ_BACK, DRY_RUN)):
        while not proxy.compared(name):
            write = plain.post(f"{proxy.url}/things", json={"n": 1}, headers=CREDENTIALS)
            assert write.status_code == 201
            time.sleep(GAP)
    _check_evidence(proxy)
    _check_requests(*backends)
    _check_secrets(tmp_path)
    live = 'strangler_requests_total{backend="legacy",code="200",endpoint="GET /a",reason="weight"}'
    eventually(lambda: counted(proxy, live) == asked, "live requests are counted, and no others")
    assert counted(proxy, 'strangler_compare_total{endpoint="GET /a",result="different"}') >= ENOUGH


def _check_evidence(proxy: Proxy) -> None:
    found = proxy.reports()["GET /a"]
    assert (found.scope.legacy, found.scope.async_) == ("v1", "v1")
    assert found.parity.verdict == "differs"
    by_path = {each.path: each.verdict for each in found.parity.paths if not each.shape}
    assert by_path == {"total": "fault", "owner": "fault", "iban": "fault", "id": "noise"}
    assert found.statuses == {"200": found.parity.n}
    assert dict(found.rare_fields) == {}
    assert found.seen[Mark("owner")][0] >= found.first
    assert found.legacy.p50 is not None
    sample = proxy.samples("GET /a")[0]
    assert sample.target.startswith("/a?token=redacted:")
    assert {each.path for each in sample.differences} == {"total", "owner", "iban", "id"}
    assert sample.legacy.body != sample.async_.body


def _check_requests(legacy: Backend, async_: Backend) -> None:
    """What the backends got: live requests, shadow requests, read-backs, dry runs."""
    for each in (legacy, async_):
        shadows = [fields for method, _, fields in each.requests if "x-shadow" in fields and method == "GET"]
        assert len(shadows) > ENOUGH
        assert all("idempotency-key" not in fields for fields in shadows)
        assert shadows[0]["authorization"] == "Bearer hunter2-bearer"
    written = [(fields.get("x-shadow"), fields) for method, _, fields in legacy.requests if method == "POST"]
    assert {shadow for shadow, _ in written} == {None}
    dry = [fields for method, _, fields in async_.requests if method == "POST"]
    assert dry
    assert {(fields["x-dry-run"], fields["x-shadow"]) for fields in dry} == {("1", "1")}
    assert all(fields["idempotency-key"].startswith("dry-run-") for fields in dry)


def _check_secrets(folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size]
    stored = b"".join(file.read_bytes() for file in files)
    assert b"redacted:" in stored
    assert [secret for secret in SECRETS if secret.encode() in stored] == []
    key = (folder / "run" / "redaction.key").read_bytes()
    assert sum(key in file.read_bytes() for file in files) == 1


def test_no_client_notices_a_killed_comparer_or_a_dead_backend(
    proxy: Proxy, backends: tuple[Backend, Backend]
) -> None:
    eventually(lambda: proxy.comparer, "the comparer listens")
    with asking(proxy) as statuses:
        eventually(lambda: proxy.compared("GET /a"), "something is compared")
        first = proxy.comparer
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: proxy.comparer not in (None, first), "another comparer")
        before = proxy.compared("GET /a")
        eventually(lambda: proxy.compared("GET /a") > before, "it compares, and adds to what was there")
        backends[1].close()
        eventually(lambda: skipped(proxy) > 0, "what is not answered is counted")
    assert set(statuses) == {200}
    pid, counted = proxy.comparer, skipped(proxy)
    assert pid is not None
    proxy.config.write_text(proxy.text.replace("sample: 100%", "sample: 0%"))
    eventually(lambda: not alive(pid), "where nothing is sampled there is no comparer")
    assert skipped(proxy) >= counted


@contextmanager
def asking(proxy: Proxy) -> Iterator[list[int]]:
    """A client that asks all the time; its statuses."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(GAP):
            statuses.append(get(proxy).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def skipped(proxy: Proxy) -> float:
    return counted(
        proxy, 'strangler_compare_total{endpoint="GET /a",result="skipped: async cannot be reached"}'
    )


def counted(proxy: Proxy, line: str) -> float:
    text = plain.get(f"{proxy.admin}/metrics").text
    return sum(float(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line))
