"""The async backend is killed with -9 and started again while clients read and write through the proxy."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import plain
from tests.control.site import Site, eventually, free_port

BACKEND = Path(__file__).parent / "counting_backend.py"
KILLS = 3


class Backend:
    """A process that can be killed and started again on the same port; `written` is what it noted on disk."""

    def __init__(self, directory: Path, name: str) -> None:
        self.port = free_port()
        self._notes = directory / f"{name}.writes"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, str(BACKEND), str(self.port), str(self._notes)])
        eventually(lambda: plain.get(f"http://127.0.0.1:{self.port}/a").status_code == 200, "backend up")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """It hangs from now on."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def written(self) -> Counter[str]:
        return Counter(self._notes.read_text().split())


class Clients:
    """Readers and writers, each on a connection that it keeps; every write has an id of its own."""

    def __init__(self, url: str) -> None:
        self.reads: Counter[str] = Counter()  # by the backend that answered
        self.failed_reads: list[str] = []
        self.writes: dict[str, int] = {}  # id to status; 0: the connection broke
        self._url = url
        self._stop = threading.Event()
        roles = [self._read, self._read, self._write, self._write]
        self._threads = [threading.Thread(target=role, args=(n,)) for n, role in enumerate(roles)]

    def _read(self, number: int) -> None:
        with plain.client(timeout=20) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(f"{self._url}/a")
                except httpx2.HTTPError as error:
                    self.failed_reads.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failed_reads.append(f"{answer.status_code} {answer.text}")
                self.reads[answer.headers.get("x-served-by", "")] += 1

    def _write(self, number: int) -> None:
        count = 0
        with plain.client(timeout=20) as client:
            while not self._stop.is_set():
                count += 1
                name = f"{number}-{count}"
                try:
                    self.writes[name] = client.post(f"{self._url}/w", content=name).status_code
                except httpx2.HTTPError:
                    self.writes[name] = 0

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_reads(self, backend: str, count: int = 50) -> None:
        before = self.reads[backend]
        eventually(lambda: self.reads[backend] > before + count, f"reads by {backend}")


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[tuple[Backend, Backend]]:
    started = [Backend(tmp_path, "legacy"), Backend(tmp_path, "async")]
    try:
        yield started[0], started[1]
    finally:
        for backend in started:
            backend.kill()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, backends: tuple[Backend, Backend]) -> Iterator[Site]:
    site = ServedSite(tmp_path_factory.mktemp("s"), *backends)
    try:
        yield site
    finally:
        site.close()


class ServedSite(Site):
    """`strangler serve` with everything at 100: reads and writes are answered by async."""

    def __init__(self, directory: Path, legacy: Backend, asynchronous: Backend) -> None:
        self._ports = legacy.port, asynchronous.port
        super().__init__(directory)

    def text(self, weight: object, workers: int = 2) -> str:
        text = super().text(100, workers) + "  POST /w: {weight: 100, idempotency: off}\n"
        # A short rest for the breaker, so that several kills fit into one test.
        text += "breaker: {open_for: 1s}\n"
        return text.replace("1:1", f"1:{self._ports[0]}").replace("1:2", f"1:{self._ports[1]}")

    def start(self, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.directory / "control.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "serve", "--config", str(self.config)], stderr=log
            )
        self.processes.append(process)
        return process


def test_reads_never_fail_and_no_write_is_executed_twice(
    site: Site, backends: tuple[Backend, Backend]
) -> None:
    legacy, asynchronous = backends
    site.up()
    with Clients(f"http://127.0.0.1:{site.data}") as clients:
        for _ in range(KILLS):
            clients.wait_for_reads("async")
            asynchronous.kill()
            clients.wait_for_reads("legacy")
            asynchronous.start()
        clients.wait_for_reads("async")
    assert clients.failed_reads == []
    written = legacy.written() + asynchronous.written()
    assert max(written.values()) == 1
    acknowledged = {name for name, status in clients.writes.items() if status == 201}
    assert acknowledged <= written.keys()
    assert not legacy.written(), "a write went to the other backend"
    refused = [status for status in clients.writes.values() if status != 201]
    assert refused, "no write met a dead backend, so this has shown nothing"
    assert set(refused) <= {502, 504}
