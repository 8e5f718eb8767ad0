"""Mixed traffic for a long time, while weights flip and processes are killed and restarted: `bench.soak`.

Ends by itself with a table. Exit 1 if something failed that no kill explains, if a rolling restart stalls,
if a worker holds connections, tasks or descriptors after the clients have gone, or if memory grows (judged
from five minutes on).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from bench.processes import Child, free_port, spawn, wait_for_port
from bench.soak_clients import Clients
from bench.soak_excuses import ASYNC, LEGACY, WORKER, Disturbance, Failure, excuse
from bench.soak_wire import FOREIGN

RESULTS = Path(__file__).parent / "results"
START = 60.0  # seconds that a process may take to come up, on a machine that is busy
REPORTED = 3.0  # seconds after which each worker has said what it holds
QUIESCENCE = 15.0  # seconds in which everything must be given back; pooled connections live for 4
ROLL = 120.0  # seconds in which a rolling restart must have replaced every worker
GROWTH = 24.0  # MiB per hour that a worker may grow
JUDGED = 240.0  # seconds of samples after warm-up from which on growth is judged
SHOWN = 10  # failures that nothing explains, one by one
WARM_UP = 0.2  # share of the run
CONFIG = """\
server: {{listen: "127.0.0.1:{data}", admin: "127.0.0.1:{admin}", workers: 2, runtime_dir: {directory}/run,
  state: "sqlite:///{directory}/state.db", admin_token: {token}, trusted_proxies: [127.0.0.1/32]}}
backends:
  legacy: {{url: "http://127.0.0.1:{legacy}"}}
  async: {{url: "http://localhost:{async}", timeouts: {{pool_age: 5s}}}}  # a name, of which ::1 is dead
phases: {{all: {{methods: [GET, POST]}}}}
endpoints:
  GET /small: {{weight: {weight}}}
  GET /big: {{weight: {weight}}}
  GET /seen: {{weight: {weight}}}
  GET /slow: {{weight: {weight}}}
  POST /write: {{weight: {weight}}}
  POST /keyed: {{weight: {weight}, idempotency: optional}}
  POST /events: {{weight: {weight}, idempotency: optional}}
"""
TOKEN = "soak-operator"
GUESSES = 12  # requests that a foreign page makes, which must not lock the operator out


@dataclass
class Soak:
    """One run's processes and what is found out about them."""

    directory: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("data", "admin", LEGACY, ASYNC)}
    )
    children: dict[str, Child] = field(default_factory=dict)
    kills: list[Disturbance] = field(default_factory=list)
    restarts: int = 0
    stalls: list[str] = field(default_factory=list)
    memory: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    descriptors: int = 0  # of a worker that has not served yet
    tasks: int = 0

    def start(self) -> None:
        for name in (LEGACY, ASYNC):
            self.start_backend(name)
        self.configure(0)
        serve = [sys.executable, "-m", "proxy", "serve", "--config", str(self.directory / "routing.yaml")]
        self.children["proxy"] = spawn("proxy", serve, self.directory, frozenset(os.sched_getaffinity(0)))
        wait_for_port(self.children["proxy"], self.ports["admin"], START)

    def start_backend(self, name: str) -> None:
        argv = [sys.executable, "-m", "bench.soak_backend", "--port", str(self.ports[name])]
        self.children[name] = spawn(name, argv, self.directory, frozenset(os.sched_getaffinity(0)))
        wait_for_port(self.children[name], self.ports[name], START)

    def configure(self, weight: int) -> None:
        new = self.directory / "routing.yaml.new"
        new.write_text(CONFIG.format(directory=self.directory, token=TOKEN, weight=weight, **self.ports))
        new.replace(self.directory / "routing.yaml")

    def workers(self) -> list[dict[str, Any]]:
        """As the admin port lists them; those only that serve."""
        url = f"http://127.0.0.1:{self.ports['admin']}/api/v1/config"
        config = httpx2.get(url, trust_env=False, timeout=30).json()
        return [worker for worker in config["workers"] if worker["hash"]]

    def measure_idle(self) -> None:
        """What a worker holds that nobody has asked yet; call when all of them serve and have reported."""
        workers = self.workers()
        self.descriptors = max(open_descriptors(worker["pid"]) for worker in workers)
        self.tasks = max(worker["tasks"] for worker in workers)

    def kill_worker(self) -> None:
        self._kill(self.workers()[0]["pid"])

    def _kill(self, pid: int) -> None:
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while running(pid):  # its connections are there until it is gone
            time.sleep(0.002)
        self.kills.append(Disturbance(WORKER, begun, time.monotonic()))

    def restart(self, after: float) -> None:
        """A rolling restart, of which one worker is killed that many seconds after its begin. Excuses no more
        than that kill does."""
        before = [worker["pid"] for worker in self.workers()]
        self.children["proxy"].process.send_signal(signal.SIGUSR2)
        time.sleep(after)
        if running(before[-1]):
            self._kill(before[-1])
        self.restarts += 1
        until = time.monotonic() + ROLL
        while not self._rolled(before):
            if time.monotonic() > until:
                self.stalls.append(f"rolling restart {self.restarts} was not over after {ROLL:g} s")
                return
            time.sleep(0.2)

    def _rolled(self, before: list[int]) -> bool:
        """False also while the next control process is not there yet."""
        try:
            now = {worker["pid"] for worker in self.workers()}
        except httpx2.HTTPError:
            return False
        return len(now) == 2 and not now & set(before)

    def reopen_and_reload(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGHUP):
            self.children["proxy"].process.send_signal(number)

    def foreign_page(self) -> None:
        """Somebody's browser asks for what needs the token, which it has not; then the operator, who has."""
        url = f"http://127.0.0.1:{self.ports['admin']}/api/v1/comparisons/GET%20%2Fsmall/samples"
        for _ in range(GUESSES):
            httpx2.get(url, headers={"sec-fetch-site": "cross-site"}, trust_env=False, timeout=30)
        mine = {"authorization": f"Bearer {TOKEN}"}
        status = httpx2.get(url, headers=mine, trust_env=False, timeout=30).status_code
        if status in (401, 403, 429):
            self.stalls.append(f"the operator was locked out by a foreign page: {status}")

    def kill_backend(self, name: str) -> None:
        begun = time.monotonic()
        self.children[name].process.kill()
        self.children[name].process.wait()
        self.start_backend(name)
        self.kills.append(Disturbance(name, begun, time.monotonic()))

    def sample(self) -> None:
        for worker in self.workers():
            self.memory[worker["pid"]].append((time.monotonic(), resident_mib(worker["pid"])))

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()


async def run(soak: Soak, seconds: float, seed: int, clients: int) -> Clients:
    """The traffic and the disturbances; returns when the clients have stopped."""
    while sum(worker["tasks"] > 0 for worker in soak.workers()) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    traffic = Clients(soak.ports["data"], seed)
    await traffic.open_stores()
    await asyncio.sleep(REPORTED)
    soak.measure_idle()
    running = asyncio.create_task(traffic.run(clients))
    chance = random.Random(seed)
    actions = [
        *(lambda: soak.configure(100), lambda: soak.kill_backend(ASYNC), lambda: soak.configure(30)),
        *(soak.kill_worker, lambda: soak.kill_backend(LEGACY), lambda: soak.configure(0)),
        *(soak.reopen_and_reload, soak.foreign_page, lambda: soak.restart(chance.uniform(0, 4))),
    ]
    end, number = time.monotonic() + seconds, 0
    pause = min(10.0, seconds / 8)
    due = time.monotonic() + pause
    while time.monotonic() < end:
        await asyncio.sleep(min(1.0, pause / 2))
        await asyncio.to_thread(soak.sample)
        if time.monotonic() >= due:
            await asyncio.to_thread(actions[number % len(actions)])
            number += 1
            due = time.monotonic() + pause * chance.uniform(0.7, 1.3)
    traffic.stopped = True
    await running
    return traffic


def leaks(soak: Soak) -> list[str]:
    """What workers still hold when nobody asks them any more, after waiting for it to go."""
    until = time.monotonic() + QUIESCENCE
    while True:
        held = {worker["id"]: _held(soak, worker) for worker in soak.workers()}
        found = [
            f"worker {number}: {connections} connections, {tasks} tasks, {descriptors} descriptors"
            for number, (connections, tasks, descriptors) in held.items()
            if connections or tasks or descriptors
        ]
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.5)


def _held(soak: Soak, worker: dict[str, Any]) -> tuple[int, int, int]:
    """Connections, and tasks and descriptors beyond those of an idle worker."""
    descriptors = open_descriptors(worker["pid"]) - soak.descriptors
    return worker["connections"], max(0, worker["tasks"] - soak.tasks), max(0, descriptors)


def slope(samples: list[tuple[float, float]]) -> float:
    """MiB per hour by least squares of (seconds, MiB)."""
    count = len(samples)
    middle = sum(at for at, _ in samples) / count
    mean = sum(size for _, size in samples) / count
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return 3600 * sum((at - middle) * (size - mean) for at, size in samples) / spread if spread else 0.0


def report(soak: Soak, traffic: Clients, leaked: list[str], seconds: float) -> list[str]:
    """Prints the table; returns what is wrong."""
    print(f"requests: {traffic.requests.total()}  " + _listed(traffic.requests))
    print(f"foreign answers: {sum(each.cause == FOREIGN for each in traffic.failures)}")
    print(f"kills: {len(soak.kills)}  " + _listed(Counter(each.what for each in soak.kills)))
    print(f"rolling restarts: {soak.restarts}, stalled: {len(soak.stalls)}")
    wrong = soak.stalls + _report_failures(soak, traffic)
    print("\n".join(leaked) or "leaks: 0 connections, 0 tasks, 0 descriptors")
    wrong += [f"leak: {line}" for line in leaked]
    return wrong + _report_memory(soak, seconds)


def _report_failures(soak: Soak, traffic: Clients) -> list[str]:
    errors = Counter((each.kind, each.cause, excuse(each, soak.kills)) for each in traffic.failures)
    for (kind, cause, killed), count in sorted(errors.items()):
        print(f"{killed + ' killed' if killed else 'UNEXPLAINED':>13} {count:6} {kind}: {cause}")
    if not errors:
        print("errors: 0")
    for each in [one for one in traffic.failures if not excuse(one, soak.kills)][:SHOWN]:
        print(f"  {each.kind}: {each.cause}: {_when(each, soak.kills)}")
    return [
        f"{count} times {kind}: {cause}, which no kill explains"
        for (kind, cause, killed), count in sorted(errors.items())
        if not killed
    ]


def _when(failure: Failure, kills: list[Disturbance]) -> str:
    """When a failure was, for the proxy's log, and where it stands among the kills, in seconds before it."""
    clock = datetime.fromtimestamp(time.time() - time.monotonic() + failure.failed, UTC)
    nearest = sorted(kills, key=lambda kill: abs(kill.begun - failure.failed))[:2]
    begun, good = failure.failed - failure.begun, failure.failed - failure.good
    parts = [f"{clock:%H:%M:%S.%f} UTC; begun {begun:.3f} s before, good {good:.3f}"]
    parts += [
        f"{kill.what} killed {failure.failed - kill.begun:+.3f} to {failure.failed - kill.ended:+.3f}"
        for kill in nearest
    ]
    return "; ".join(parts)


def _report_memory(soak: Soak, seconds: float) -> list[str]:
    wrong = []
    for pid, samples in soak.memory.items():
        steady = [each for each in samples if each[0] > samples[0][0] + WARM_UP * seconds]
        if len(steady) < 3:
            continue
        growth, length = slope(steady), steady[-1][0] - steady[0][0]
        print(f"worker pid {pid}: {steady[-1][1]:.1f} MiB, {growth:+.1f} MiB/h over {length:.0f} s")
        if length >= JUDGED and growth > GROWTH:
            wrong.append(f"worker pid {pid} grows by {growth:.1f} MiB/h; at most {GROWTH:g} are allowed")
    return wrong


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def running(pid: int) -> bool:
    """False when it has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_mib(pid: int) -> float:
    """Resident memory now; 0 if the process has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        soak = Soak(Path(directory))
        try:
            soak.start()
            traffic = asyncio.run(run(soak, seconds, options.seed, options.clients))
            wrong = report(soak, traffic, leaks(soak), seconds)
            if wrong:
                RESULTS.mkdir(exist_ok=True)
                kept = RESULTS / f"soak-{options.seed}.log"
                kept.write_bytes(soak.children["proxy"].log.read_bytes())
                print(f"the proxy's log is kept in {kept}")
        finally:
            soak.stop()
    print("\n".join(["WRONG:", *wrong]) if wrong else "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
