"""`python -m bench.reload`: what a reload costs the requests beside it, with many endpoints.

A client asks one worker in turn, every few milliseconds, while one weight of the file changes several times.
The longest answer of each reload stands beside the longest of as many seconds without one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.markdown import table
from bench.processes import TICK, BenchError, Child, descendants, free_port, wait_for_port

REQUEST = b"GET /svc7/res7/1 HTTP/1.1\r\nhost: bench\r\nx-user-id: ada\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PAUSE = 0.002  # seconds between an answer and the next request
SETTLE = 1.5  # seconds watched after a reload, and before the first


class Reload(NamedTuple):
    """Seconds: until the new table was served, the longest answer meanwhile, and CPU time of the worker."""

    took: float
    longest: float
    cpu: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reload", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000, help="in the file (10,000)")
    parser.add_argument("--reloads", type=int, default=5, help="how many (5)")
    parser.add_argument("--python", default=sys.executable, help="of the proxy, such as a compiled one's")
    options = parser.parse_args(argv)
    try:
        calm, reloads = run(options.python, options.endpoints, options.reloads)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    rows = [
        ["", "served after s", "longest answer ms", "CPU ms of the worker"],
        ["no reload", "", _ms(calm), ""],
    ]
    rows += [[f"reload {n}", f"{r.took:.1f}", _ms(r.longest), _ms(r.cpu)] for n, r in enumerate(reloads, 1)]
    print(f"{options.endpoints:,} endpoints\n\n{table(rows)}")
    return 0


def run(python: str, endpoints: int, reloads: int) -> tuple[float, list[Reload]]:
    """The longest answer in a while without a reload, then the reloads."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=64)
    backend = multiprocessing.get_context("fork").Process(target=_serve, args=(sock,), daemon=True)
    backend.start()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            site = _Site(Path(directory), python, endpoints, sock.getsockname()[1])
            try:
                return site.measure(reloads)
            finally:
                site.child.stop()
    finally:
        backend.terminate()
        backend.join()
        sock.close()


class _Site:
    """The proxy, its file and the client beside it."""

    def __init__(self, directory: Path, python: str, endpoints: int, backend: int) -> None:
        self._file = directory / "routing.yaml"
        self._endpoints = endpoints
        self._backend = backend
        self._port, self._admin = free_port(), free_port()
        self._write(0)
        log = directory / "strangler.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [python, "-m", "proxy", "serve", "--config", str(self._file)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
            )
        self.child = Child("strangler", process, log)
        self._answers: list[float] = []
        self._over = threading.Event()

    def measure(self, reloads: int) -> tuple[float, list[Reload]]:
        wait_for_port(self.child, self._admin, 90.0)
        self._wait_for(self._served)
        client = threading.Thread(target=self._ask, daemon=True)
        client.start()
        try:
            time.sleep(SETTLE)
            self._answers.clear()
            time.sleep(2 * SETTLE)
            calm = max(self._answers)
            return calm, [self._reload(weight) for weight in range(1, reloads + 1)]
        finally:
            self._over.set()
            client.join(30.0)

    def _reload(self, weight: int) -> Reload:
        before, started, cpu = self._hash(), time.monotonic(), self._cpu()
        self._answers.clear()
        self._write(weight)
        self._wait_for(lambda: self._hash() != before and self._served())
        took = time.monotonic() - started
        time.sleep(SETTLE)
        return Reload(took, max(self._answers), self._cpu() - cpu)

    def _write(self, weight: int) -> None:
        lines = [
            f"server: {{listen: '127.0.0.1:{self._port}', admin: '127.0.0.1:{self._admin}', workers: 1,"
            f" runtime_dir: '{self._file.parent}', state: 'sqlite:///{self._file.parent}/state.db'}}",
            "backends:",
            f"  legacy: {{url: 'http://127.0.0.1:{self._backend}'}}",
            f"  async: {{url: 'http://127.0.0.1:{self._backend}'}}",
            "endpoints:",
            f"  GET /first: {{weight: {weight}}}",
        ]
        lines += [f"  GET /svc{n % 100}/res{n}/{{id}}: {{weight: {n % 100}}}" for n in range(self._endpoints)]
        new = self._file.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        os.replace(new, self._file)

    def _config(self) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/api/v1/config", timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def _hash(self) -> object:
        return self._config()["hash"]

    def _served(self) -> bool:
        config = self._config()
        workers = config["workers"]
        assert isinstance(workers, list)
        return bool(workers) and all(each["hash"] == config["hash"] for each in workers)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90.0
        while time.monotonic() < deadline:
            with suppress(OSError):
                if condition():
                    return
            time.sleep(0.05)
        raise BenchError(self.child.failure())

    def _cpu(self) -> float:
        """Of the edge worker."""
        for pid in descendants(self.child.process.pid):
            if b"proxy.edge" in Path(f"/proc/{pid}/cmdline").read_bytes():
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / TICK
        raise BenchError("there is no worker")

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as sock:
            while not self._over.is_set():
                began = time.monotonic()
                sock.sendall(REQUEST)
                if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise BenchError("a request was not answered")
                self._answers.append(time.monotonic() - began)
                time.sleep(PAUSE)


class _Backend(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


def _serve(sock: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Backend, sock=sock)
        await server.serve_forever()

    asyncio.run(serve())


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


if __name__ == "__main__":
    sys.exit(main())
