"""Where a rollout stands. Kept in the state database, so that any control process can go on from it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

State = Literal["waiting", "running", "holding", "approval", "paused", "rolled_back", "done"]
"""waiting: its phase is not open yet; holding: something speaks against the next step, or is missing;
approval: a person has to agree to the next step."""

MOVING: Final[frozenset[State]] = frozenset({"running", "holding", "approval"})
"""States in which evidence is gathered, and a rollback may happen."""


def watched(position: RolloutPosition) -> bool:
    """Whether trials count: also of what is paused, or was rolled back to a weight that is not 0, since a
    rollback needs nothing but evidence. Its `label` is then the epoch that workers are told."""
    if position.state in ("paused", "rolled_back"):
        return position.epoch_began > 0 and position.weight > 0
    return position.state in MOVING and position.epoch_began > 0


class RolloutPosition(NamedTuple):
    """One endpoint of one plan. Weights in hundredths of a percent, times in Unix seconds.

    `generation` grows with every change of the stored row: a change is a compare-and-swap on it. `epoch`
    counts the epochs of this `attempt` from 1; both begin anew in no case but a new attempt.
    """

    endpoint: str
    plan: str
    state: State
    reason: str
    step: int  # index into the plan's steps
    weight: int
    since: float  # of the state
    stepped: float  # when this step began
    attempt: int = 1
    epoch: int = 1
    epoch_began: float = 0.0
    version: str = ""  # of async, as its answers say
    slow: float | None = None  # seconds; legacy's 95th percentile when the step began
    legacy_bound: float | None = None  # of legacy's failing share, as last known
    legacy_rate: float | None = None  # requests per second of legacy when the rollout began
    approved: int | None = None  # the weight that a person agreed to
    generation: int = 0

    @property
    def label(self) -> str:
        """Names the epoch to the workers; never used twice, also not by another attempt."""
        return f"{self.attempt}.{self.epoch}.{self.epoch_began:.3f}"
