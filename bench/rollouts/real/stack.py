"""Both backends and proxies in front of them, each a process that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from tests import plain
from tests.support.ports import free_port
from tests.support.waiting import eventually

START = 30.0  # seconds
ROOT = Path(__file__).parents[3]


class RealBackend:
    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "bench.rollouts.real.backend", self.name, str(self.port)]
        self.process = subprocess.Popen(argv, cwd=ROOT)
        try:
            eventually(lambda: self.told({}), f"{self.name} is up", within=START)
        except BaseException:
            self.kill()
            raise

    def told(self, faults: Mapping[str, Any]) -> bool:
        """As in `backend`."""
        url = f"http://127.0.0.1:{self.port}/_faults"
        return plain.post(url, content=json.dumps(faults), timeout=10).status_code == 200

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Proxy:
    """`strangler serve`. `rollouts` are plans by name, `endpoints` as in the file."""

    def __init__(
        self,
        folder: Path,
        backends: tuple[RealBackend, RealBackend],
        rollouts: Mapping[str, Any],
        endpoints: Mapping[str, Any],
        state: str = "",
        workers: int = 1,
        **more: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config = folder, folder / "routing.yaml"
        self.data, self.admin = free_port(), free_port()
        self.environment: dict[str, str] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers = workers
        legacy, async_ = backends
        config = {
            "server": {
                "listen": f"127.0.0.1:{self.data}",
                "admin": f"127.0.0.1:{self.admin}",
                "workers": workers,
                "runtime_dir": str(folder / "run"),
                "state": state or f"sqlite:///{folder / 'run' / 'state.db'}",
                "timeouts": {"drain": "1s"},
            },
            "backends": {
                "legacy": {"url": f"http://127.0.0.1:{legacy.port}"},
                "async": {"url": f"http://127.0.0.1:{async_.port}"},
            },
            "rollouts": dict(rollouts),
            "endpoints": dict(endpoints),
            **more,
        }
        self.config.write_text(json.dumps(config, indent=1))  # which is YAML, without aliases

    @property
    def url(self) -> str:
        """Of the admin port."""
        return f"http://127.0.0.1:{self.admin}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.processes[-1]

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            argv = [sys.executable, "-m", "proxy", "serve", "--config", str(self.config)]
            environment = {**os.environ, **self.environment}
            self.processes.append(subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log))

    def up(self) -> None:
        """Started, and every worker serves."""
        self.start()
        self.until_up()

    def until_up(self) -> None:
        def there() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(self.log())
            return len(self.worker_pids()) == self.workers

        eventually(there, "every worker serves", within=START)

    def worker_pids(self) -> list[int]:
        """Of those that serve the newest configuration."""
        found = self.get("/api/v1/config")
        return [each["pid"] for each in found["workers"] if each["hash"] == found["hash"]]

    def kill(self) -> None:
        """The control process alone; the workers stay."""
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> Any:
        answer = plain.get(f"{self.url}{path}", timeout=10)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any) -> httpx2.Response:
        return plain.post(f"{self.url}{path}", json=body, timeout=20)

    def rollouts(self) -> dict[str, Any]:
        """By endpoint."""
        return {each["endpoint"]: each for each in self.get("/api/v1/rollouts")["rollouts"]}

    def rollout(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rollouts()[f"GET {path}"]
        return found

    def reaches(self, path: str, weight: float, state: str = "") -> None:
        def there() -> bool:
            found = self.rollout(path)
            return bool(found["weight"] == weight) and state in ("", found["state"])

        try:
            eventually(there, f"{path} at {weight} {state}", within=START)
        except AssertionError as error:
            error.add_note(f"{self.rollout(path)}\n{self.log()}")
            raise

    def changes(self, path: str) -> list[dict[str, Any]]:
        """The oldest first."""
        found: list[dict[str, Any]] = self.get("/api/v1/rollouts/history?limit=1000")["changes"]
        return [each for each in reversed(found) if each["endpoint"] == f"GET {path}"]

    def comes_back(self, path: str) -> dict[str, Any]:
        """Waits for a rollback, which is stored a little later than it is in force; the change."""
        eventually(lambda: self.rollout(path)["state"] == "rolled_back", f"{path} is rolled back")
        eventually(lambda: self.changes(path)[-1]["state"] == "rolled_back", "it is stored")
        return self.changes(path)[-1]

    def moves(self, path: str) -> list[tuple[float, float]]:
        """Weights before and after, of changes that moved one."""
        return [(each["before"], each["weight"]) for each in self.changes(path) if _moved(each)]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        """With workers that a killed control process left behind."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
                process.wait()
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _left(self) -> list[int]:
        """Workers that have our channel."""
        channel = str(self.folder / "run" / "control.sock").encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if channel in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
        return found


def _moved(change: dict[str, Any]) -> bool:
    return bool(change["before"] != change["weight"])
