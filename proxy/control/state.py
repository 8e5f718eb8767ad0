"""What the admin port shows: the same figures for the API, the page and the metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass

from proxy import __version__
from proxy.control.alarms import Alarm, Alarms
from proxy.control.collect import Collector
from proxy.control.comparer import ComparerProcess
from proxy.control.figures import (
    ConfigFigures,
    Contrast,
    Counted,
    EndpointFigures,
    Hour,
    Overview,
    UnlistedFigures,
    WorkerFigures,
    last_hour,
    reachable,
)
from proxy.control.ledger import Ledger
from proxy.control.oneoff import OneOffCompare
from proxy.control.recorder import Recorder
from proxy.control.reload import Reloader
from proxy.control.restart import Restarter
from proxy.control.rollouts.parts import Rollouts
from proxy.control.security import host_of, is_loopback, users_of
from proxy.control.storage import Storage
from proxy.control.supervisor.supervisor import Supervisor
from proxy.control.verdicts import Verdicts
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BACKENDS, AdminUser
from proxy.core.traffic.totals import EMPTY
from proxy.datapath import data_path
from proxy.store.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class State:
    """The parts of the running control process that the admin port reads."""

    reloader: Reloader
    supervisor: Supervisor
    collector: Collector
    restarter: Restarter
    verdicts: Verdicts
    recorder: Recorder | None = None
    ledger: Ledger | None = None
    one_off: OneOffCompare | None = None
    comparer: ComparerProcess | None = None
    alarms: Alarms | None = None
    storage: Storage | None = None
    rollouts: Rollouts | None = None

    def users(self) -> tuple[AdminUser, ...]:
        """Who may use the admin port, by the configuration in force: who is taken out of it is shut out.

        A port that others can reach stays closed, whatever a file says that is for another address.
        """
        server, started = self.reloader.running.snapshot.server, self.reloader.started.server
        users = users_of(server)
        return users if users or is_loopback(host_of(started.admin)) else users_of(started)

    def alarmed(self) -> list[Alarm]:
        """What is wrong now with the backends, as the workers see them, and with the store."""
        found = [] if self.alarms is None else self.alarms.look()
        if self.rollouts is not None:
            found = [*found, *self.rollouts.alarms()]
        return found if self.storage is None else [*found, *self.storage.alarms()]

    def config(self) -> ConfigFigures:
        reloader, pulse = self.reloader, self.supervisor.pulse
        workers = (
            WorkerFigures(
                each.slot,
                each.pid,
                each.hash,
                each.connections,
                each.tasks,
                pulse.silence(each),
                pulse.life(each) != "fresh",
            )
            for each in self.supervisor.workers()
        )
        return ConfigFigures(
            __version__,
            data_path(),
            reloader.running.snapshot.hash,
            str(reloader.path),
            reloader.loaded_at,
            reloader.generation,
            tuple(workers),
            reloader.last_error,
            reloader.last_difference,
            reloader.warnings,
            self.restarter.current,
        )

    def overview(self) -> Overview:
        """Every endpoint, what matches none, and both backends."""
        snapshot, totals = self.reloader.effective, self.collector.totals()
        self.collector.step("comparisons", self.verdicts.versions())
        recent = self.collector.history.recent(totals)
        counted = Counted(totals, self.collector.figures(), recent)
        keys = self.ledger.keys() if self.ledger else {}
        positions = {} if self.rollouts is None else self.rollouts.board.positions(snapshot)
        return Overview(
            time.time(),
            tuple(
                EndpointFigures(
                    each,
                    counted.breaker(each),
                    counted.fallbacks[each.name],
                    counted.backends(each.name),
                    counted.contrast(each.name, self.collector.evidence_seconds(each.name)),
                    self.verdicts.parity(each),
                    keys.get(each.name),
                    positions.get(each.name),
                )
                for each in snapshot.endpoints
            ),
            UnlistedFigures(snapshot.unlisted, counted.backends(UNLISTED)),
            reachable(totals),
            None if self.storage is None else self.storage.figures(),
        )

    def contrasts(self) -> dict[str, Contrast]:
        """Of the endpoints that both backends answered since their step began."""
        recent = self.collector.history.recent(self.collector.totals())
        counted = Counted(EMPTY, {}, recent)
        both = {name for name, _ in recent if all((name, backend) in recent for backend in BACKENDS)}
        return {
            name: counted.contrast(name, self.collector.evidence_seconds(name))
            for name in sorted(both - {UNLISTED})
        }

    def history(self) -> dict[str, Hour]:
        """The last hour of the endpoints that had traffic in it."""
        past = self.collector.history
        names = [*(endpoint.name for endpoint in self.reloader.running.snapshot.endpoints), UNLISTED]
        found = ((name, last_hour(name, past)) for name in names)
        return {name: hour for name, hour in found if any(hour.values())}

    def audit(self) -> list[AuditEntry]:
        """Who changed what, newest first; as fresh as the last look, seconds ago."""
        return self.recorder.recent if self.recorder else []
