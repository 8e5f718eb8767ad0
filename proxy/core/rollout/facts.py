"""What a decision about a rollout is made from, and what it says. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.evidence.units import NOBODY, Units
from proxy.core.rollout.evidence import Evidence
from proxy.core.rollout.position import RolloutPosition, State
from proxy.core.settings import RolloutPlan


class ParitySeen(NamedTuple):
    """The comparison's verdict on the endpoint; `eta` in seconds until its bound is low enough, if known."""

    verdict: str
    bound: float = 1.0
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one endpoint now. A text that is not empty says what is the matter.

    `units` are those of the position's epoch. `rate` are trials per second of legacy and async.
    `stable_version_seconds`: for how long async has answered with no other than `version`. `unkeyed_dealt`:
    requests without a sticky key are dealt by the weight, so the endpoint is safe and `unkeyed: random`.
    `legacy_capacity` is a doubt whether legacy could take everything back. `unavailable`: why this process
    may raise nothing, such as a database that is away.
    """

    units: Units = NOBODY
    unkeyed_dealt: bool = True
    unkeyed_share: float = 0.0
    phase_blocked_by: str = ""
    parity: ParitySeen | None = None
    breaker_open: bool = False
    legacy_worse: str = ""
    legacy_capacity: str = ""
    legacy_p95: float | None = None  # seconds
    frozen: str = ""
    in_hours: bool = True
    unavailable: str = ""
    version: str = ""
    stable_version_seconds: float = 0.0
    rate: tuple[float, float] = (0.0, 0.0)
    endpoints_in_plan: int = 1


class RolloutChange(NamedTuple):
    """One change of state or weight, for the audit log, the webhook and metrics (labels `to` and `why`)."""

    to: State
    why: str  # one word of few, such as "failing"
    text: str
    before: int  # the weight
    weight: int
    evidence: Mapping[str, object] = {}


class Next(NamedTuple):
    """What to do: keep `position` and `evidence`, tell `changes`.

    `target` is the weight of the next step, None at the end; `missing` what it waits for, in words, and
    `eta_seconds` how long at this traffic, None for never. `e_values` of kinds that are not asked are None;
    a rollback comes when one reaches `threshold`. `needed` is what `bounds` have to reach for the next step.
    `doubt`: whether legacy could take everything back, in words; "" for none.
    """

    position: RolloutPosition
    evidence: Evidence
    changes: tuple[RolloutChange, ...]
    target: int | None
    missing: tuple[str, ...]
    eta_seconds: float | None
    bounds: Mapping[str, float | None]
    needed: Mapping[str, float | None]
    e_values: Mapping[str, float | None]
    threshold: float
    doubt: str


class GroupMember(NamedTuple):
    """One endpoint of a group, as it stands."""

    plan: RolloutPlan
    position: RolloutPosition
    evidence: Evidence
    facts: Facts
