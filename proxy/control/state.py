"""What the admin port shows: the same figures for the API, the page and the metrics."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.config import ConfigError
from proxy.control.alarms import Alarm, Alarms
from proxy.control.claimed import Keys
from proxy.control.collect import Collector
from proxy.control.comparer import ComparerProcess
from proxy.control.comparison import differences, last_hour
from proxy.control.ledger import Ledger
from proxy.control.oneoff import OneOffCompare
from proxy.control.recorder import Recorder
from proxy.control.reload import LastError, Reloader
from proxy.control.restart import Restarter
from proxy.control.roll import Restart
from proxy.control.security import host_of, is_loopback, users_of
from proxy.control.storage import Storage
from proxy.control.supervisor import Supervisor
from proxy.control.verdicts import Verdicts
from proxy.core.forwarding import addresses
from proxy.core.forwarding.addresses import by_backend, is_failing
from proxy.core.settings import ASYNC, BACKENDS, AdminUser, Endpoint
from proxy.core.traffic.intended import SAVED, intended
from proxy.core.traffic.totals import Figures, Series
from proxy.core.wire.messages import OpenBreaker, Stats

UNLISTED = "unlisted"


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
        return found if self.storage is None else [*found, *self.storage.alarms()]

    def config(self) -> dict[str, Any]:
        """`GET /api/v1/config`."""
        return {
            "hash": self.reloader.running.snapshot.hash,
            "source": str(self.reloader.path),
            "loaded_at": timestamp(self.reloader.loaded_at),
            "generation": self.reloader.generation,
            "workers": [
                {
                    "id": worker.slot,
                    "pid": worker.pid,
                    "hash": worker.hash,
                    "connections": worker.connections,
                    "tasks": worker.tasks,
                    "last_seen_seconds": _tenths(self.supervisor.pulse.silence(worker)),
                    "silent": self.supervisor.pulse.life(worker) != "fresh",
                }
                for worker in self.supervisor.workers()
            ],
            "last_error": _last_error(self.reloader.last_error),
            "last_difference": list(self.reloader.last_difference),
            "warnings": list(self.reloader.warnings),
            "restart": _restart(self.restarter.current),
        }

    def endpoints(self) -> dict[str, Any]:
        """`GET /api/v1/endpoints`."""
        totals = self.collector.totals()
        requests: Counter[Series] = Counter()
        fallbacks: Counter[str] = Counter()
        for line in intended(totals):
            requests[line.endpoint, line.backend] += line.requests
            if line.reason in SAVED:
                fallbacks[line.endpoint] += line.requests
        figures = self.collector.figures()
        recent = self.collector.history.recent(totals)
        breakers = {breaker.name: breaker for breaker in totals.breakers}
        keys = self.ledger.keys() if self.ledger else {}
        snapshot = self.reloader.running.snapshot
        return {
            "endpoints": [
                {
                    "endpoint": endpoint.name,
                    "phase": endpoint.phase,
                    "group": endpoint.group,
                    "weight": percent(endpoint.weight),
                    "breaker": _breaker(breakers, endpoint),
                    "fallbacks": fallbacks[endpoint.name],
                    "backends": _backends(endpoint.name, requests, figures),
                    "difference": differences(endpoint.name, recent),
                    "comparison": self.verdicts.summary(endpoint.name),
                    "keys": _keys(keys.get(endpoint.name)),
                }
                for endpoint in snapshot.endpoints
            ],
            UNLISTED: {
                "policy": snapshot.unlisted,
                "backends": _backends(UNLISTED, requests, figures),
            },
            "backends": _reachable(totals),
            "storage": None if self.storage is None else self.storage.as_json(),
            "evidence_seconds": round(self.collector.evidence_seconds(), 1),
        }

    def history(self) -> dict[str, Any]:
        """`GET /api/v1/history`: the last hour by the minute, of the endpoints that had traffic."""
        past = self.collector.history
        names = [*(endpoint.name for endpoint in self.reloader.running.snapshot.endpoints), UNLISTED]
        found = ((name, last_hour(name, past)) for name in names)
        return {"endpoints": {name: series for name, series in found if any(series.values())}}

    def audit(self) -> list[dict[str, Any]]:
        """`GET /api/v1/audit`: who changed what, newest first; as fresh as the last look, seconds ago."""
        recent = self.recorder.recent if self.recorder else []
        return [
            {
                "time": timestamp(entry.time),
                "author": entry.author,
                "action": entry.action,
                "details": dict(entry.details),
            }
            for entry in recent
        ]


def error_json(error: ConfigError) -> dict[str, Any]:
    return {
        "line": error.line,
        "column": error.column,
        "key": error.key,
        "value": error.value,
        "message": error.message,
    }


def percent(weight: int) -> int | float:
    """Hundredths of a percent as a percentage: 2500 -> 25, 1 -> 0.01."""
    return weight // 100 if weight % 100 == 0 else weight / 100


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _restart(restart: Restart | None) -> dict[str, str] | None:
    """The rolling restart that this control process was started by."""
    if restart is None:
        return None
    return {"id": restart.id, "state": restart.state, "detail": restart.detail}


def _last_error(error: LastError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "time": timestamp(error.time),
        "trigger": error.trigger,
        "errors": [error_json(each) for each in error.errors],
        "excerpts": [list(lines) for lines in error.excerpts],
    }


def _keys(keys: Keys | None) -> dict[str, Any] | None:
    """Since when keys are claimed, and when every key still in use is known; None if they are not claimed."""
    if keys is None:
        return None
    left = max(0, round(keys.known_at - time.time()))
    since, known = timestamp(keys.since), timestamp(keys.known_at)
    return {"mode": keys.mode, "since": since, "known_at": known, "seconds_left": left}


def _breaker(breakers: dict[str, OpenBreaker], endpoint: Endpoint) -> str:
    """The worse of its own and, if that concerns it, of async as a whole."""
    diverted = endpoint.safe and endpoint.fallback is not None and endpoint.weight
    found = [breakers.get(endpoint.name), breakers.get(ASYNC) if diverted else None]
    states = {breaker.state for breaker in found if breaker is not None}
    return "open" if "open" in states else "ramping" if states else "closed"


def _reachable(totals: Stats) -> dict[str, Any]:
    """By backend: whether it answers, the breaker of all of it, and its addresses."""
    seen, down = by_backend(totals.addresses), addresses.down(totals.addresses)
    breakers = {breaker.name: breaker.state for breaker in totals.breakers}
    return {
        backend: {
            "failing": backend in down,
            "breaker": breakers.get(backend, "closed"),
            "addresses": [
                {"url": line.url, "failing": is_failing(line), "failures": line.failures}
                for line in seen.get(backend, ())
            ],
        }
        for backend in BACKENDS
    }


def _backends(endpoint: str, requests: Counter[Series], figures: dict[Series, Figures]) -> dict[str, Any]:
    return {
        backend: _backend(requests[endpoint, backend], figures.get((endpoint, backend), Figures()))
        for backend in BACKENDS
    }


def _backend(requests: int, figures: Figures) -> dict[str, Any]:
    return {
        "requests": requests,
        "requests_per_second": round(figures.requests_per_second, 3),
        "error_rate": None if figures.error_rate is None else round(figures.error_rate, 6),
        "p50_ms": _milliseconds(figures.p50),
        "p95_ms": _milliseconds(figures.p95),
        "p99_ms": _milliseconds(figures.p99),
    }


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
