"""Real control processes with scripted workers, on free ports, always cleaned up."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import httpx2

from tests import plain
from tests.support.ports import free_port
from tests.support.waiting import eventually

HERE = Path(__file__).parent
FAKE_WORKER = (sys.executable, str(HERE / "fake_worker.py"))


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Site:
    """A directory with a routing.yaml and the control processes that were started on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "routing.yaml"
        self.gate = directory / "gate"
        self.data = free_port()
        self.admin = free_port()
        self.extra = ""
        self.descriptors = 0  # limit of open files of what is started; 0: ours
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seen_pids: set[int] = set()
        self.write(weight=0)

    def text(self, weight: object, workers: int = 2) -> str:
        return f"""\
server:
  listen: 127.0.0.1:{self.data}
  admin: 127.0.0.1:{self.admin}
  workers: {workers}
  runtime_dir: {self.directory / "run"}
  state: sqlite:///{self.directory / "run" / "state.db"}
  timeouts: {{drain: 10s}}
{self.extra}
backends:
  legacy: {{url: "http://127.0.0.1:1"}}
  async: {{url: "http://127.0.0.1:2"}}
endpoints:
  GET /a: {{weight: {weight}}}
"""

    def write(self, weight: object, workers: int = 2) -> None:
        self.config.write_text(self.text(weight, workers))

    def start(self, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a control process; its log goes to `control.log` in the directory."""
        with (self.directory / "control.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "serve_fake.py"), str(self.config)],
                env={**os.environ, "FAKE_GATE": str(self.gate), **(environ or {})},
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=self.limit,
            )
        self.processes.append(process)
        return process

    def limit(self) -> None:
        """In the child, before it is what was asked for."""
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def up(self, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts, and waits until every worker serves."""
        process = self.start(environ)
        eventually(lambda: self.settled(), "every worker serves")
        return process

    def log(self) -> str:
        return (self.directory / "control.log").read_text()

    def get(self, path: str) -> httpx2.Response:
        return plain.get(f"http://127.0.0.1:{self.admin}{path}", timeout=10)

    def state(self) -> dict[str, object]:
        state: dict[str, object] = self.get("/api/v1/config").json()
        self.seen_pids.update(self.pids(state))
        return state

    @staticmethod
    def pids(state: dict[str, object]) -> list[int]:
        workers = state["workers"]
        assert isinstance(workers, list)
        return [worker["pid"] for worker in workers]

    def settled(self, workers: int = 2) -> bool:
        """Whether that many workers serve the newest configuration."""
        state = self.state()
        listed = state["workers"]
        assert isinstance(listed, list)
        return len(listed) == workers and all(worker["hash"] == state["hash"] for worker in listed)

    def ask(self, path: str = "/") -> str:
        """The body of one answer on the data port: `<pid> <hash>`."""
        return plain.get(f"http://127.0.0.1:{self.data}{path}", timeout=20).text

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(httpx2.HTTPError, OSError):
                    self.state()
                process.kill()
                process.wait()
        for pid in self.seen_pids | self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _children(self) -> set[int]:
        """Workers that use this site's channel, seen by the API or not."""
        channel = str(self.directory / "run" / "control.sock").encode()
        found = set()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if channel in entry.read_bytes().split(b"\0"):
                    found.add(int(entry.parent.name))
        return found
