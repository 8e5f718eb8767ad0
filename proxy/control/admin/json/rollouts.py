"""`/api/v1/rollouts` as JSON-ready values: weights are percent, times RFC 3339."""

from __future__ import annotations

from typing import Any

from proxy.control.rollouts.figures import RolloutFigures, RolloutsFigures
from proxy.control.rollouts.planning import DryRun
from proxy.core.evidence.units import KINDS
from proxy.core.rollout.forecast import StepForecast
from proxy.core.settings import BACKENDS
from proxy.core.timestamps import timestamp
from proxy.core.weights import percent_number
from proxy.store.rollouts import Freeze, Past

NOBODY = {"active": 0, "failed": 0}
ADVANCE = ("failing", "no_worse", "slower", "parity")


def rollouts_json(found: RolloutsFigures) -> dict[str, Any]:
    """`GET /api/v1/rollouts`."""
    return {
        "rollouts": [rollout_json(each) for each in found.rollouts],
        "frozen": freeze_json(found.freeze),
        "leads": found.here,
        "problem": found.problem or None,
    }


def rollout_json(found: RolloutFigures) -> dict[str, Any]:
    position, shown, plan = found.position, found.shown, found.plan
    units = shown.get("units", {})
    return {
        "endpoint": position.endpoint,
        "plan": plan.name,
        "group": found.group,
        "state": position.state,
        "reason": position.reason,
        "step": position.step,
        "steps": [percent_number(each) for each in plan.steps],
        "weight": percent_number(position.weight),
        "since": timestamp(position.since),
        "stepped": timestamp(position.stepped),
        "version": position.version,
        "attempt": position.attempt,
        "units": {side: units.get(side, NOBODY) for side in BACKENDS},
        "e_values": {kind: shown.get("e_values", {}).get(kind) for kind in KINDS},
        "threshold": shown.get("threshold"),
        "bounds": dict(shown.get("bounds", {})),
        "needed": {name: shown.get("needed", {}).get(name) for name in ADVANCE},
        "doubt": shown.get("doubt") or None,
        "next": _next(found),
    }


def freeze_json(freeze: Freeze) -> dict[str, Any] | None:
    if not freeze.frozen:
        return None
    return {"reason": freeze.reason, "author": freeze.author, "since": timestamp(freeze.since)}


def history_of_json(past: list[Past]) -> dict[str, Any]:
    """`GET /api/v1/rollouts/history`."""
    return {"changes": [dict(each.details) for each in past]}


def dry_run_json(found: DryRun) -> dict[str, Any]:
    """`GET /api/v1/rollouts/plan`."""
    return {
        "endpoint": found.endpoint,
        "plan": found.plan.name,
        "requests_per_second": round(found.rate, 3),
        "failing": round(found.failing, 6),
        "seconds": _whole(found.seconds),
        "steps": [_step(found, each) for each in found.steps],
    }


def _next(found: RolloutFigures) -> dict[str, Any] | None:
    target = found.shown.get("target")
    if target is None:
        return None
    return {
        "weight": percent_number(target),
        "missing": list(found.shown.get("missing", [])),
        "eta_seconds": _whole(found.shown.get("eta_seconds")),
    }


def _step(found: DryRun, step: StepForecast) -> dict[str, Any]:
    return {
        "weight": percent_number(step.weight),
        "seconds": _whole(step.seconds),
        "conditions": {name: _whole(seconds) for name, seconds in step.conditions.items()},
        "approve": step.weight in found.plan.approve,
    }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
