"""What runs: two echo backends, the proxy, its store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests import plain
from tests.faults.saturation.echo import Stall
from tests.faults.saturation.schedule import Store, Timeouts
from tests.faults.saturation.stores import AnyStore, family
from tests.faults.saturation.stores import running as store_running
from tests.faults.site import Program
from tests.support.ports import free_port

CLOCK = Path(__file__).parent / "clock"
START = 60.0  # seconds until all are up
VIOLATIONS = "strangler_invariant_violations_total"


class Backend:
    """One echo process."""

    def __init__(self, folder: Path, name: str) -> None:
        self.port, self._control = free_port(), free_port()
        argv = ["tests.faults.saturation.echo", "--port", str(self.port), "--control", str(self._control)]
        self.program = Program(folder, name, argv, {})

    @property
    def pid(self) -> int:
        return self.program.process.pid

    async def stall(self, kind: Stall, seconds: float) -> None:
        """Returns when it has begun. One at a time: a new one ends the one before."""
        await self._command({"do": "stall", "kind": kind, "seconds": seconds})

    async def executed(self) -> Counter[str]:
        """How often each key was."""
        return Counter(await self._command({"do": "counts"}))

    async def until_up(self) -> None:
        async with asyncio.timeout(START):
            while True:
                with contextlib.suppress(OSError):
                    await self.executed()
                    return
                await asyncio.sleep(0.05)

    async def _command(self, command: dict[str, Any]) -> dict[str, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._control, limit=1 << 26)
        with contextlib.closing(writer):
            writer.write(json.dumps(command).encode() + b"\n")
            answer: dict[str, int] = json.loads(await reader.readline())
            return answer


def clock_environment(file: Path, libfaketime: str) -> dict[str, str]:
    """For a process whose next worker is to have the clock that `file` says."""
    path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH", ""))))
    return {"PYTHONPATH": path, "FAULTS_CLOCK": str(file), "FAULTS_LIBFAKETIME": libfaketime}


class Site:
    """The proxy in front of both backends. `libfaketime`: None where it is not installed."""

    def __init__(self, folder: Path, store: AnyStore, timeouts: Timeouts, libfaketime: str | None) -> None:
        self.store = store
        self.folder = folder
        self.backends = {name: Backend(folder, name) for name in ("legacy", "async")}
        self.config = folder / "routing.yaml"
        self.url, self.admin = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._timeouts = {name: f"{seconds:g}s" for name, seconds in timeouts._asdict().items()}
        self._clock = folder / "clock"
        environment = {} if libfaketime is None else clock_environment(self._clock, libfaketime)
        self.proxy = Program(folder, "proxy", ["proxy", "serve", "--config", str(self.config)], environment)

    async def start(self, connections: int) -> None:
        self.configure(connections, 0)
        for backend in self.backends.values():
            backend.program.start()
        for backend in self.backends.values():
            await backend.until_up()
        self.proxy.start()
        await self._until_ready()

    def stop(self) -> None:
        """All of it: also workers that drain, which have sessions of their own and would stay."""
        workers = family(self.proxy.process.pid)[1:] if self.proxy.started else []
        self._stop_programs()
        for pid in workers:
            with contextlib.suppress(OSError):  # most are gone, and their number may be another's by now
                if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    def _stop_programs(self) -> None:
        for program in (self.proxy, *(backend.program for backend in self.backends.values())):
            program.stop()

    def configure(self, connections: int, weight: int) -> None:
        """In a file that the proxy watches. `connections` is for each worker and backend."""
        server = {"listen": self.url.removeprefix("http://"), "admin": self.admin.removeprefix("http://")}
        config = {
            "server": {
                **server,
                "workers": 2,
                "state": self.store.url,
                "runtime_dir": str(self.folder / "run"),
            },
            "backends": {
                name: {
                    "url": f"http://127.0.0.1:{backend.port}",
                    "connections": connections,
                    "timeouts": dict(self._timeouts),
                }
                for name, backend in self.backends.items()
            },
            "phases": {"all": {"methods": ["GET", "POST"]}},
            "endpoints": {
                "GET /items/{id}": {"weight": weight},
                "POST /writes": {"weight": weight, "idempotency": "required"},
            },
        }
        new = self.folder / "routing.new"
        new.write_text(yaml.safe_dump(config, sort_keys=False))
        new.replace(self.config)

    async def worker_pids(self) -> list[int]:
        """Those that serve."""
        async with plain.async_client(timeout=5) as client:
            answer = await client.get(f"{self.admin}/api/v1/config")
            return [worker["pid"] for worker in answer.json()["workers"] if worker["hash"]]

    async def shift_clock(self, pid: int, seconds: float) -> bool:
        """The worker with that pid is replaced by one whose clock is off; whether it is there."""
        self._clock.write_text(f"{seconds:+g}")
        os.kill(pid, signal.SIGKILL)
        for _ in range(int(START / 0.05)):
            if not self._clock.exists():
                return True
            await asyncio.sleep(0.05)
        return False

    async def executed(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for backend in self.backends.values():
            total += await backend.executed()
        return total

    async def violations(self) -> int:
        """As the proxy counts them itself."""
        async with plain.async_client(timeout=10) as client:
            text = (await client.get(f"{self.admin}/metrics")).text
        return sum(
            int(float(line.rpartition(" ")[2])) for line in text.splitlines() if line.startswith(VIOLATIONS)
        )

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + START
        async with plain.async_client(timeout=5) as client:
            while time.monotonic() < deadline and self.proxy.process.poll() is None:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get(f"{self.admin}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise AssertionError(f"the proxy did not come up:\n{self.proxy.log.read_text()[-2000:]}")


@asynccontextmanager
async def running(
    folder: Path, store: Store, timeouts: Timeouts, connections: int, libfaketime: str | None
) -> AsyncIterator[Site]:
    async with store_running(store, folder) as claims:
        site = Site(folder, claims, timeouts, libfaketime)
        try:
            await site.start(connections)
            yield site
        finally:
            site.stop()
