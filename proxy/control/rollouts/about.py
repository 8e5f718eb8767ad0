"""What the runner keeps of one rollout beside its position: in the same row, for whoever runs it next."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgspec

from proxy.core.settings import RolloutPlan


@dataclass(frozen=True, slots=True)
class About:
    """`plan` tells one plan from a changed one. `ended`: a weight was typed into the file.

    `errors` and `p95` (seconds) are legacy's when the step that began at `stepped` was young; `peak` is the
    most that legacy was seen to take in this attempt, in requests per second over all endpoints. `shown` is
    what the leader last said of it.
    """

    plan: str = ""
    ended: bool = False
    stepped: float = 0.0
    errors: float | None = None
    p95: float | None = None
    peak: float = 0.0
    shown: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def about(data: Mapping[str, Any]) -> About:
    """What `as_json` made, by this version or another."""
    known = {each.name: data[each.name] for each in fields(About) if each.name in data}
    try:
        return msgspec.convert(known, About)
    except msgspec.ValidationError:
        return About()


def digest(plan: RolloutPlan) -> str:
    """Of what an attempt is bound to; all else of a plan may change under way."""
    bound = (plan.name, plan.steps, plan.dwell, plan.advance, plan.alpha, plan.to)
    return hashlib.sha256(repr(bound).encode()).hexdigest()[:16]
