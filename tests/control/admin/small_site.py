"""A small site at a moment that stands still, with something of everything that the API shows."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import pytest

from proxy.config import Loaded
from proxy.config.errors import ConfigError
from proxy.control.alarms import Alarms
from proxy.control.collect import Collector
from proxy.control.hearing import Hearing
from proxy.control.ledger import Ledger
from proxy.control.processes import Process
from proxy.control.pulse import Pulse
from proxy.control.recorder import Recorder
from proxy.control.reload import InForce, LastError, Reloader, load
from proxy.control.restart import Restarter
from proxy.control.state import State
from proxy.control.storage import Disk, Storage
from proxy.control.supervisor.member import Member
from proxy.control.supervisor.roll import Restart
from proxy.control.supervisor.supervisor import supervise
from proxy.control.verdicts import Verdicts
from proxy.core.evidence.stats import BOUNDS
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import AddressSeen, Labelled, Latency, OpenBreaker, Requests
from proxy.store.audit import AuditEntry
from tests.control.admin.planted import differing, equal, plant, scope_of
from tests.control.admin.planted import traffic as compared
from tests.support.writes import lose_a_write

NOW: Final = 1_714_564_800.25
CONFIG: Final = """\
server: {admin: "127.0.0.1:9000", state: "sqlite:///state.db"}
backends: {legacy: {url: "http://127.0.0.1:1"}, async: {url: "http://127.0.0.1:2"}}
idempotency: {max_store: 1000}
endpoints:
  GET /a/{id}: {weight: 12.5, compare: {sample: 5%, rules: [{ignore: note, reason: old}]}}
  GET /b: {weight: 100, group: a}
  POST /c: {weight: 0, idempotency: required}
"""


class Clock:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def histogram(**seconds: int) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for index, count in seconds.items():
        counts[int(index[1:])] = count
    return counts


def counted(collector: Collector, clock: Clock) -> None:
    """Two minutes of one worker."""
    requests = [
        Requests("GET /a/{id}", "async", "weight", 200, 3000),
        Requests("GET /a/{id}", "async", "weight", 503, 60),
        Requests("GET /a/{id}", "legacy", "weight", 200, 4000),
        Requests("GET /a/{id}", "legacy", "fallback", 200, 7),
        Requests("GET /b", "legacy", "override", 200, 2),
        Requests("unlisted", "legacy", "unlisted", 404, 3),
    ]
    totals = msgspec.structs.replace(
        EMPTY,
        connections=4,
        requests=requests,
        latencies=[
            Latency("GET /a/{id}", "async", histogram(b60=3060), 9.5),
            Latency("GET /a/{id}", "legacy", histogram(b40=4000), 7.5),
        ],
        breakers=[OpenBreaker("GET /a/{id}", "open", 8)],
        unlisted=[Labelled("GET /x/{id}", "legacy", 3)],
        addresses=[
            AddressSeen("legacy", "http://127.0.0.1:1", 0, True, -1.0, 0.5),
            AddressSeen("async", "http://127.0.0.1:2", 5, True, 0.5, -1.0),
        ],
    )
    collector.joined("w", fresh=True)
    collector.record("w", totals)
    clock.now += 60.0
    newer = [msgspec.structs.replace(each, count=each.count + 10) for each in requests]
    later = [Latency("GET /a/{id}", "async", histogram(b60=3069, b70=1), 10.5), totals.latencies[1]]
    collector.record("w", msgspec.structs.replace(totals, requests=newer, latencies=later))


def workers() -> list[Member]:
    made = []
    for slot, silence in ((0, 0.26), (1, 9.0)):
        worker = Member(slot, cast(Process, SimpleNamespace(pid=100 + slot)))
        worker.hash, worker.connections, worker.tasks, worker.heard = "abc", 4, 9, silence
        made.append(worker)
    return made


def small_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(time, "time", lambda: NOW)
    path, content = Path("routing.yaml"), CONFIG.encode()
    path.write_bytes(content)
    clock = Clock()
    collector = Collector(clock)
    counted(collector, clock)

    async def publish(loaded: Loaded, generation: int) -> None:
        """There are no workers."""

    reloader = Reloader(path, content, InForce(load(content, str(path))), publish)
    snapshot = reloader.running.snapshot
    url = snapshot.server.state
    reloader.last_difference = ("GET /b: weight 50 -> 100",)
    reloader.last_error = LastError(
        NOW - 5, "SIGHUP", (ConfigError(3, 7, "a.b", "x", "is wrong"),), (("  a: x", "     ^"),)
    )
    supervisor = supervise(("true",), "", collector, Pulse(Hearing()))
    monkeypatch.setattr(supervisor, "workers", workers)
    monkeypatch.setattr(supervisor.pulse, "silence", lambda worker: worker.heard)
    ledger = Ledger(url, collector, lambda: reloader.running.snapshot, lambda: NOW)
    ledger.look()
    recorder = Recorder(url)
    recorder.recent = [AuditEntry(1, NOW - 9, "ada", "settle", {"id": "lost", "reason": "seen"})]
    storage = Storage(url, lambda: reloader.running.snapshot.idempotency.max_store)
    storage.stored, storage.disk = 700, Disk(5000, 4000)
    plant(url, [differing(scope_of(snapshot, "GET /a/{id}"))], compared("GET /a/{id}"))
    plant(url, [equal(scope_of(snapshot, "GET /b"))])
    lose_a_write(url)
    state: Any = {
        "verdicts": Verdicts(url, lambda: reloader.running.snapshot),
        "restarter": Restarter(reloader, supervisor, ".", Restart("r1", (100,), "", "", "failed", "no")),
        "alarms": Alarms(collector.signals, fared=collector.fared),
    }
    return State(
        reloader=reloader,
        supervisor=supervisor,
        collector=collector,
        recorder=recorder,
        ledger=ledger,
        storage=storage,
        **state,
    )
