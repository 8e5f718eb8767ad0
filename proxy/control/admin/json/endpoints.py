"""`GET /api/v1/endpoints` and `GET /api/v1/history`: shares as percentages, durations in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.control.admin.json.comparisons import summary_json
from proxy.control.alarms import Alarm
from proxy.control.claimed import Keys
from proxy.control.figures import BackendFigures, Contrast, EndpointFigures, Hour, Overview, Served, wait
from proxy.control.storage import Stored
from proxy.core.evidence.significance import MeasuredDifference
from proxy.core.forwarding.addresses import is_failing
from proxy.core.rollout.position import RolloutPosition
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BackendName
from proxy.core.timestamps import timestamp
from proxy.core.weights import percent_number


def endpoints_json(found: Overview, alarms: Iterable[Alarm]) -> dict[str, Any]:
    return {
        "endpoints": [_endpoint(each, found.now) for each in found.endpoints],
        UNLISTED: {
            "policy": found.unlisted.policy,
            "backends": _backends(found.unlisted.backends),
        },
        "backends": {name: _reachable(each) for name, each in found.backends.items()},
        "storage": None if found.storage is None else _storage(found.storage),
        "evidence_seconds": round(max((each.contrast.seconds for each in found.endpoints), default=0.0), 1),
        "alarms": [alarm_json(alarm, found.now) for alarm in alarms],
    }


def history_json(hours: Mapping[str, Hour]) -> dict[str, Any]:
    """The last hour by the minute, of the endpoints that had traffic."""
    return {"endpoints": {name: _hour(hour) for name, hour in hours.items()}}


def alarm_json(alarm: Alarm, now: float) -> dict[str, Any]:
    return {
        "kind": alarm.kind,
        "subject": alarm.subject,
        "text": alarm.text,
        "seconds": None if alarm.since is None else round(max(0.0, now - alarm.since), 1),
        "serious": alarm.serious,
    }


def _endpoint(found: EndpointFigures, now: float) -> dict[str, Any]:
    return {
        "endpoint": found.endpoint.name,
        "phase": found.endpoint.phase,
        "group": found.endpoint.group,
        "weight": percent_number(found.endpoint.weight),
        "breaker": found.breaker,
        "fallbacks": found.fallbacks,
        "backends": _backends(found.backends),
        "difference": _contrast(found.contrast, found.backends),
        "comparison": summary_json(found.parity),
        "keys": None if found.keys is None else _keys(found.keys, now),
        "rollout": None if found.rollout is None else _rollout(found.rollout),
    }


def _rollout(position: RolloutPosition) -> dict[str, Any]:
    """In short; `GET /api/v1/rollouts` has the evidence."""
    return {"plan": position.plan, "state": position.state, "reason": position.reason}


def _keys(keys: Keys, now: float) -> dict[str, Any]:
    """Since when keys are claimed, and when every key still in use is known."""
    since, known = timestamp(keys.since), timestamp(keys.known_at)
    return {"mode": keys.mode, "since": since, "known_at": known, "seconds_left": keys.seconds_left(now)}


def _backends(backends: Mapping[BackendName, Served]) -> dict[str, Any]:
    return {name: _served(each) for name, each in backends.items()}


def _served(found: Served) -> dict[str, Any]:
    minute = found.minute
    return {
        "requests": found.requests,
        "requests_per_second": round(minute.requests_per_second, 3),
        "error_rate": None if minute.error_rate is None else round(minute.error_rate, 6),
        "p50_ms": _milliseconds(minute.p50),
        "p95_ms": _milliseconds(minute.p95),
        "p99_ms": _milliseconds(minute.p99),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _contrast(found: Contrast, backends: Mapping[BackendName, Served]) -> dict[str, Any]:
    return {
        "seconds": round(found.seconds, 1),
        "error_rate": _difference(found.error_rate, backends, 1, 6),
        "p50_ms": _difference(found.p50, backends, 1000, 3),
        "p95_ms": _difference(found.p95, backends, 1000, 3),
        "p99_ms": _difference(found.p99, backends, 1000, 3),
    }


def _difference(
    difference: MeasuredDifference, backends: Mapping[BackendName, Served], factor: float, digits: int
) -> dict[str, Any]:
    interval = difference.interval
    if interval is None:
        legacy, async_ = difference.missing
        eta = wait(difference, backends)
        return {
            "verdict": difference.verdict,
            "estimate": None,
            "low": None,
            "high": None,
            "missing": {"legacy": legacy, "async": async_},
            "eta_seconds": None if eta is None else round(eta),
        }
    numbers = {key: round(value * factor, digits) for key, value in interval._asdict().items()}
    return {"verdict": difference.verdict, **numbers}


def _reachable(found: BackendFigures) -> dict[str, Any]:
    return {
        "failing": found.failing,
        "breaker": found.breaker,
        "addresses": [
            {
                "url": line.url,
                "failing": is_failing(line),
                "failures": line.failures,
                "left_out": line.hosts_out,
            }
            for line in found.addresses
        ],
    }


def _storage(found: Stored) -> dict[str, Any]:
    return {
        "stored_bytes": found.size,
        "limit_bytes": found.limit,
        "disk_bytes": None if found.disk is None else found.disk.total,
        "disk_free_bytes": None if found.disk is None else found.disk.free,
    }


def _hour(hour: Hour) -> dict[str, Any]:
    return {
        backend: [
            {"requests": each.requests, "errors": each.errors, "p95_ms": round(each.p95 * 1000, 3)}
            for each in minutes
        ]
        for backend, minutes in hour.items()
    }
