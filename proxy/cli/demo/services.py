"""The demo's processes: started in order, each in its own process group, and never left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psycopg

from proxy.cli.demo import postgres, routing
from proxy.cli.demo.claims import FAULTY_VERSION, SOUND_VERSION
from proxy.interpreter import module_command

DATABASE = "strangler_demo"
ACCOUNTS, PAYMENTS = 900, 5_000
FAULTY = {"APP_VERSION": FAULTY_VERSION, "ASYNC_FAULT": "quote-rounding,metering"}
SOUND = {"APP_VERSION": SOUND_VERSION, "ASYNC_FAULT": ""}
"""Environments of the two builds of async. The first has two faults: one that comparisons find, rare and of
one cent, and one that only users meet."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 8.0
"""Seconds that a process has to end after SIGTERM."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Ports(NamedTuple):
    data: int
    admin: int
    legacy: int
    async_: int
    fx: int
    repaired: int

    @classmethod
    def choose(cls, data: int) -> Ports:
        """The usual ports, or a free one instead of each that is taken."""
        chosen: list[int] = []
        for wanted in (data, 9000, 5001, 5002, 5003, 5004):
            chosen.append(_free_port(wanted, chosen))
        return cls(*chosen)


@dataclass(slots=True)
class Service:
    """One program with its log; `start` may be called again after `kill`."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends them in order
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def terminate(self) -> None:
        if self.process is not None and self.running:
            self.process.terminate()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for whatever of its group is left after GRACE."""
        self.terminate()
        self.end()

    def end(self) -> None:
        """After `terminate`. A second SIGTERM would cut off what the first has begun."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.kill()

    def kill(self) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until_ready(self, url: str, seconds: float = 90.0) -> None:
        """Until `url` answers 200. Raises DemoError with the end of the log if it exits or is late."""
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            try:
                if httpx2.get(url, timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.1)
        tail = self.log.read_text(errors="replace").splitlines()[-10:]
        raise DemoError(f"{self.name} did not start; the end of {self.log}:\n  " + "\n  ".join(tail))


@dataclass(slots=True)
class Site:
    """Everything that runs, and where. `async_` is the build that is deployed; `repaired` becomes it."""

    directory: Path
    ports: Ports
    database_url: str
    seeded: dict[str, Any]  # what `python -m legacy_flask seed` printed
    fx: Service
    legacy: Service
    async_: Service
    repaired: Service
    proxy: Service

    @property
    def routing(self) -> Path:
        return self.directory / "routing.yaml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.data}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    @property
    def repaired_health(self) -> str:
        return f"http://127.0.0.1:{self.ports.repaired}/healthz"

    def dead(self) -> str | None:
        """The name of a service that ended by itself."""
        for service in (self.fx, self.legacy, self.async_, self.proxy):
            if not service.running:
                return service.name
        return None

    def check_ledger(self) -> tuple[bool, str]:
        """Whether every sum in the database is exact, and what the check printed."""
        result = _legacy_command(["check-ledger"], self.database_url)
        return result.returncode == 0, (result.stdout or result.stderr).strip()


@contextmanager
def running(directory: Path, port: int) -> Iterator[Site]:
    """Database, both backends and the proxy, up and seeded; all ended when the block is left, however."""
    with ExitStack() as stack:
        try:
            yield _start(stack, directory, Ports.choose(port))
        finally:
            for number in INTERRUPTS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave processes behind


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Signals that would end the demo do so after the block."""
    came: list[int] = []
    former = {number: signal.signal(number, lambda got, _: came.append(got)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if came:
            raise KeyboardInterrupt


def _start(stack: ExitStack, directory: Path, ports: Ports) -> Site:
    """What needs no database starts first, and all wait for each other at the end only."""
    logs = directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory / "run", ignore_errors=True)  # claims and evidence of the last demo
    (directory / "routing.yaml").write_text(routing.initial(directory, ports))
    with _interrupts_deferred():  # one between its start and its return would leave it running
        database = stack.enter_context(postgres.running(directory / "postgres"))
    database.drop(DATABASE)
    url = database.database(DATABASE)
    site = Site(directory, ports, url, {}, *_services(directory, ports, url, logs))
    services = (site.fx, site.legacy, site.async_, site.repaired, site.proxy)
    stack.callback(stop_all, services)
    for service in services:
        service.log.unlink(missing_ok=True)
    site.fx.start()
    site.proxy.start()
    _legacy("migrate", url)
    site.legacy.start()
    site.async_.start()
    site.seeded = _seed(url)
    site.fx.wait_until_ready(f"http://127.0.0.1:{ports.fx}/healthz")
    site.legacy.wait_until_ready(f"http://127.0.0.1:{ports.legacy}/healthz")
    site.async_.wait_until_ready(f"http://127.0.0.1:{ports.async_}/healthz")
    site.proxy.wait_until_ready(f"{site.admin}/readyz")
    return site


def stop_all(services: Sequence[Service]) -> None:
    """All at once: none of them waits for another to end."""
    for service in services:
        service.terminate()
    for service in services:
        service.end()


def require_backends() -> None:
    """Raises DemoError if the payments API is not installed beside the proxy."""
    missing = [
        name
        for name in ("legacy_flask", "async_api", "fx_provider", "flask", "fastapi")
        if find_spec(name) is None
    ]
    if missing:
        raise DemoError(f"{', '.join(missing)}: not installed; run `make demo`, or pip install '.[demo]'")


def _services(directory: Path, ports: Ports, url: str, logs: Path) -> tuple[Service, ...]:
    """The FX provider, legacy, both builds of async and the proxy."""
    spec = find_spec("legacy_flask")
    assert spec is not None
    assert spec.submodule_search_locations
    gunicorn = [
        *(sys.executable, "-m", "gunicorn", "legacy_flask.app:create_app()"),
        *("-c", f"{spec.submodule_search_locations[0]}/gunicorn.conf.py"),
    ]
    # A machine that is busy with all of this is no outage of the provider.
    both = {"DATABASE_URL": url, "FX_URL": f"http://127.0.0.1:{ports.fx}", "FX_TIMEOUT": "10"}
    legacy = {**both, "BIND": f"127.0.0.1:{ports.legacy}", "WEB_CONCURRENCY": "4", "APP_VERSION": "1.0"}
    async_ = {**both, "HOST": "127.0.0.1", "PORT": str(ports.async_), **FAULTY}
    repaired = {**async_, "PORT": str(ports.repaired), **SOUND}
    fx = [sys.executable, "-m", "fx_provider", "--port", str(ports.fx), "--latency", "5ms"]
    serve = [*module_command("proxy"), "serve", "--config", str(directory / "routing.yaml")]
    return (
        Service("fx", fx, {}, logs / "fx.log"),
        Service("legacy", gunicorn, legacy, logs / "legacy.log"),
        Service("async", [sys.executable, "-m", "async_api"], async_, logs / "async.log"),
        Service(
            "async, repaired", [sys.executable, "-m", "async_api"], repaired, logs / "async-repaired.log"
        ),
        Service("proxy", serve, {}, logs / "proxy.log"),
    )


def _seed(url: str) -> dict[str, Any]:
    amount = ["--payments", str(PAYMENTS), "--accounts", str(ACCOUNTS), "--seed", "1"]
    made: dict[str, Any] = json.loads(_legacy("seed", url, amount))
    _add_currencies(url, made)
    return made


def _legacy(command: str, url: str, options: Sequence[str] = ()) -> str:
    """Its output. Raises DemoError."""
    result = _legacy_command([command, *options], url)
    if result.returncode:
        raise DemoError(f"legacy_flask {command} failed:\n{result.stderr.strip()}")
    return result.stdout


def _add_currencies(url: str, seeded: dict[str, Any]) -> None:
    """Refunds need the currency of their payment: `currencies` of each merchant, by payment."""
    query = "SELECT id::text, currency FROM payments WHERE id::text = ANY (%s)"
    with psycopg.connect(url) as connection:
        for merchant in seeded["merchants"]:
            merchant["currencies"] = dict(connection.execute(query, [merchant["payments"]]).fetchall())


def _legacy_command(arguments: Sequence[str], url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "legacy_flask", *arguments],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _free_port(wanted: int, taken: Sequence[int]) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            if found not in taken:
                return found
    raise DemoError("no free port on 127.0.0.1")
