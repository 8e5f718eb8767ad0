"""Builds a control process from the bottom up: each part receives the finished parts that it needs.

This happens in two steps. Workers that kept serving connect to the ground floor, and only they know which
state database the instance uses. Everything else is built on that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from proxy.config import Loaded
from proxy.control.alarms import Alarms
from proxy.control.channel import SOCKET_NAME, ChannelServer
from proxy.control.collect import Collector
from proxy.control.comparer import ComparerProcess
from proxy.control.hearing import Hearing
from proxy.control.kept_totals import TotalsKeeper
from proxy.control.ledger import Ledger
from proxy.control.oneoff import OneOffCompare
from proxy.control.publisher import Publisher
from proxy.control.pulse import Pulse
from proxy.control.recorder import Recorder
from proxy.control.reload import InForce, Reloader
from proxy.control.restart import Restarter
from proxy.control.rollouts.database import Database
from proxy.control.rollouts.parts import Rollouts, rollouts_of
from proxy.control.state import State
from proxy.control.storage import Storage
from proxy.control.supervisor.roll import Restart
from proxy.control.supervisor.supervisor import Supervisor, supervise
from proxy.control.verdicts import Verdicts
from proxy.core.routing.snapshot import Snapshot
from proxy.interpreter import module_command

COMPARER: Final = module_command("proxy.compare")


class Given(NamedTuple):
    """What a process is started with. `path` has `content`, which is `loaded`."""

    path: Path
    content: bytes
    loaded: Loaded
    runtime: Path
    worker: Sequence[str]
    restart: Restart | None
    one_off: OneOffCompare | None


class Ground(NamedTuple):
    """What workers connect to."""

    collector: Collector
    keeper: TotalsKeeper
    supervisor: Supervisor
    channel: ChannelServer


class Parts(NamedTuple):
    """What runs beside the workers; `state` is all that the admin port reads."""

    reloader: Reloader
    restarter: Restarter
    publisher: Publisher
    comparer: ComparerProcess
    recorder: Recorder
    ledger: Ledger
    storage: Storage
    alarms: Alarms
    rollouts: Rollouts
    state: State


def begin_steps(collector: Collector, snapshot: Snapshot) -> None:
    """What the backends are held against each other by begins anew with a weight or a version."""
    versions = (snapshot.legacy.version, snapshot.async_.version)
    collector.step("configuration", {each.name: (each.weight, *versions) for each in snapshot.endpoints})


def ground_floor(given: Given) -> Ground:
    path = given.runtime / SOCKET_NAME
    collector, hearing = Collector(), Hearing()
    keeper = TotalsKeeper(given.runtime, collector.kept)
    collector.resume(keeper.read())
    supervisor = supervise(given.worker, str(path), collector, Pulse(hearing))
    return Ground(collector, keeper, supervisor, ChannelServer(path, supervisor.links, hearing))


def build(given: Given, ground: Ground, ready: Callable[[Restart], None]) -> Parts:
    """`ready` is told of a restart that is to replace this process."""
    collector, supervisor = ground.collector, ground.supervisor
    in_force = InForce(given.loaded)
    started = in_force.started(supervisor.unclaimed.state())
    url = started.server.state
    comparer = ComparerProcess(COMPARER, given.runtime, supervisor.pulse)
    recorder = Recorder(url)
    ledger = Ledger(url, collector, in_force.snapshot)
    storage = Storage(url, lambda: in_force.snapshot().idempotency.max_store)
    alarms = Alarms(collector.signals, fared=collector.fared)
    verdicts = Verdicts(url, in_force.snapshot)
    began = partial(begin_steps, collector)
    rollouts = rollouts_of(
        Database(url), given.runtime, in_force, supervisor, collector, verdicts, ledger, began
    )
    publisher = Publisher(supervisor, comparer, ledger, url, in_force.snapshot, began, rollouts.runner.tell)
    reloader = Reloader(
        given.path.absolute(),
        given.content,
        in_force,
        publisher.publish,
        started=started,
        record=recorder.record,
        unlisted=ledger.unlisted_lately,
        standing=rollouts.board.standing,
        adopt=rollouts.board.adopt,
    )
    restarter = Restarter(reloader, supervisor, str(given.runtime), given.restart, ready)
    state = State(
        reloader=reloader,
        supervisor=supervisor,
        collector=collector,
        restarter=restarter,
        verdicts=verdicts,
        recorder=recorder,
        ledger=ledger,
        one_off=given.one_off,
        comparer=comparer,
        alarms=alarms,
        storage=storage,
        rollouts=rollouts,
    )
    return Parts(reloader, restarter, publisher, comparer, recorder, ledger, storage, alarms, rollouts, state)
