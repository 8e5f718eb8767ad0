"""Real server processes on free ports, for the contract suite and the backends' own tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 30.0


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> list[int]:
        """The process and its children (gunicorn's workers)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def peak_memory(self) -> int:
        """Sum of the processes' peak resident sizes in KiB."""
        return sum(_status(pid, "VmHWM") for pid in self.pids)


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise LookupError(key)


@contextmanager
def serve(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run a server until the block ends; it is up once /healthz answers anything."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            httpx2.get(f"{server.url}/healthz", timeout=5, trust_env=False, verify=False)
        except httpx2.TransportError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"did not start:\n{server.log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def legacy(database_url: str, fx_url: str = "", **more: str) -> AbstractContextManager[Server]:
    port = free_port()
    environment = {
        "BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "1",
        "DATABASE_URL": database_url,
        "FX_URL": fx_url,
    }
    command = ["gunicorn", "-c", "legacy_flask/gunicorn.conf.py", "legacy_flask.app:create_app()"]
    return serve(command, port, environment | more)


def async_(database_url: str, fx_url: str = "", **more: str) -> AbstractContextManager[Server]:
    port = free_port()
    environment = {"PORT": str(port), "DATABASE_URL": database_url, "FX_URL": fx_url}
    return serve(["async_api"], port, environment | more)


@contextmanager
def proxy(legacy: Server, async_: Server, weight: int) -> Iterator[Server]:
    """The proxy in front of both, with every endpoint of the shipped routing.yaml at one weight."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config: dict[str, Any] = yaml.safe_load((ROOT / "routing.yaml").read_text())
        config["server"] = {
            "listen": f"127.0.0.1:{port}",
            "admin": f"127.0.0.1:{free_port()}",
            "workers": 1,
            "runtime_dir": f"{folder}/run",
            "state": f"sqlite:///{folder}/state.db",
        }
        config["backends"] = {"legacy": {"url": legacy.url}, "async": {"url": async_.url}}
        config["phases"]["writes"].pop("after")  # all at once here
        for endpoint in config["endpoints"].values():
            endpoint["weight"] = weight
        path = Path(folder, "routing.yaml")
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        with serve(["proxy", "serve", "--config", str(path)], port, {}) as server:
            yield server


def fx(**options: str) -> AbstractContextManager[Server]:
    port = free_port()
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    return serve(["fx_provider", "--port", str(port), *flags], port, {})
