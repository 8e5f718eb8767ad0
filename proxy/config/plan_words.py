"""Rollout plans in words, as they are written in routing.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proxy.core.settings import Endpoint, RolloutPlan
from proxy.core.weights import percent

_SECRETS: Final = frozenset({"first", "webhook"})


def position_text(endpoint: Endpoint) -> str:
    """`weight 25` or `rollout careful`."""
    if endpoint.plan is not None:
        return f"rollout {endpoint.plan.name}"
    return f"weight {percent(endpoint.weight)}"


def plan_lines(old: Iterable[RolloutPlan], new: Iterable[RolloutPlan]) -> Iterator[str]:
    """One line for each change. Persons and webhooks are named, never shown."""
    before, after = {plan.name: plan for plan in old}, {plan.name: plan for plan in new}
    for name, plan in after.items():
        if name not in before:
            yield f"rollouts.{name}: added with steps {_weights(plan.steps)}"
            continue
        was, now = _settings(before[name]), _settings(plan)
        for key in now:
            if was[key] != now[key]:
                change = "changed" if key in _SECRETS else f"{was[key] or 'none'} -> {now[key] or 'none'}"
                yield f"rollouts.{name}.{key}: {change}"
    for name in before:
        if name not in after:
            yield f"rollouts.{name}: removed"


def _settings(plan: RolloutPlan) -> dict[str, str]:
    return {
        "steps": _weights(plan.steps),
        "dwell": f"{plan.dwell:g}s",
        "advance.failing": _share(plan.advance.failing),
        "advance.no_worse": _times(plan.advance.no_worse),
        "advance.slower": _times(plan.advance.slower),
        "advance.parity": _share(plan.advance.parity),
        "rollback.alpha": f"{plan.alpha:g}",
        "rollback.to": "0" if plan.to == "zero" else plan.to,
        "approve": _weights(sorted(plan.approve)),
        "first": "\0".join(sorted(plan.first)),
        "retry": plan.retry,
        "hours": plan.hours,
        "webhook": plan.webhook,
    }


def _weights(weights: Iterable[int]) -> str:
    return ", ".join(map(percent, weights))


def _share(share: float | None) -> str:
    return "off" if share is None else f"{100 * share:g}%"


def _times(times: float | None) -> str:
    return "off" if times is None else f"{times:g}"
