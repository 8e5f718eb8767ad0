"""The order of the migration: an endpoint may move only when the previous phase has moved completely.

For `check`, a file that breaks the order is an error. A running proxy refuses only changes that raise an
endpoint, so a rollback is never refused. An endpoint in a rollout never breaks the order, because its rollout
waits; but it holds up the phase after its own until the rollout is done. A file alone does not say how far a
rollout is: without a `RolloutStanding` these endpoints are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import FULL_WEIGHT, Endpoint, Phase
from proxy.core.weights import percent

_NAMED: int = 3  # blockers that a message names; the others are counted


class RolloutStanding(NamedTuple):
    """Where rollouts stand, by the names of their endpoints: weights in hundredths, and who is done."""

    weights: Mapping[str, int]
    done: Collection[str]


class Violation(NamedTuple):
    """`endpoint` has a weight though `blockers`, endpoints of the phase `after`, have not moved yet."""

    endpoint: Endpoint
    phase: str
    after: str
    blockers: tuple[Endpoint, ...]
    standing: RolloutStanding | None = None

    def __str__(self) -> str:
        weight = percent(self.endpoint.weight)
        return f"{self.endpoint.name}: weight {weight} in phase {self.phase} before {self.unfinished}"

    @property
    def unfinished(self) -> str:
        """Such as `phase reads is at 100: GET /a (25) and 3 more`."""
        first = ", ".join(f"{each.name} ({self._position(each)})" for each in self.blockers[:_NAMED])
        more = f" and {len(self.blockers) - _NAMED} more" if len(self.blockers) > _NAMED else ""
        return f"phase {self.after} is at 100: {first}{more}"

    def _position(self, blocker: Endpoint) -> str:
        weight = percent(_weight(blocker, self.standing))
        return weight if blocker.plan is None else f"{weight}, rollout {blocker.plan.name} not done"


def phase_of(method: str, phases: Sequence[Phase]) -> str | None:
    """The first phase that lists the method."""
    return next((phase.name for phase in phases if method in phase.methods), None)


def violations(snapshot: Snapshot, standing: RolloutStanding | None = None) -> tuple[Violation, ...]:
    """Every endpoint that breaks the order, in the order of the file. `force` excuses an endpoint."""
    return tuple(each for each in _ahead(snapshot, standing) if each.endpoint.force is None)


def forced(snapshot: Snapshot, standing: RolloutStanding | None = None) -> tuple[Violation, ...]:
    """What would be violations without `force`."""
    return tuple(each for each in _ahead(snapshot, standing) if each.endpoint.force is not None)


def waiting(snapshot: Snapshot, standing: RolloutStanding) -> dict[str, str]:
    """Endpoints whose rollout has to wait for an earlier phase, by name, with what it waits for."""
    return {
        each.endpoint.name: f"until {each.unfinished}"
        for each in _blocked(snapshot, standing)
        if each.endpoint.plan is not None and each.endpoint.force is None
    }


def refused(
    old: Snapshot | None, new: Snapshot, standing: RolloutStanding | None = None
) -> tuple[Violation, ...]:
    """The violations whose endpoint the new configuration raises. A cold start (old is None) refuses none.

    Who takes an endpoint out of a rollout of which nothing is known is not refused: it may be to lower it.
    """
    if old is None:
        return ()
    before = {endpoint.name: _weight(endpoint, standing) for endpoint in old.endpoints}
    return tuple(
        each for each in violations(new, standing) if each.endpoint.weight > before.get(each.endpoint.name, 0)
    )


def left_out(snapshot: Snapshot) -> tuple[Endpoint, ...]:
    """Endpoints in a rollout, of which a file alone does not say how far they are."""
    return tuple(endpoint for endpoint in snapshot.endpoints if endpoint.plan is not None)


def _weight(endpoint: Endpoint, standing: RolloutStanding | None) -> int:
    """The effective weight; of a rollout of which nothing is known, the most that it may be."""
    if endpoint.plan is None:
        return endpoint.weight
    return FULL_WEIGHT if standing is None else standing.weights.get(endpoint.name, 0)


def _is_finished(endpoint: Endpoint, standing: RolloutStanding | None) -> bool:
    at_full = _weight(endpoint, standing) == FULL_WEIGHT
    return at_full and (endpoint.plan is None or standing is None or endpoint.name in standing.done)


def _ahead(snapshot: Snapshot, standing: RolloutStanding | None) -> Iterator[Violation]:
    """Those with a weight of the file; a rollout waits by itself."""
    for each in _blocked(snapshot, standing):
        if each.endpoint.plan is None and each.endpoint.weight:
            yield each


def _blocked(snapshot: Snapshot, standing: RolloutStanding | None) -> Iterator[Violation]:
    """Every endpoint whose previous phase is not finished, at whatever weight it is."""
    phases = {phase.name: phase for phase in snapshot.phases}
    unfinished: defaultdict[tuple[str, str | None], list[Endpoint]] = defaultdict(list)
    for endpoint in snapshot.endpoints:
        if endpoint.phase is not None and not _is_finished(endpoint, standing):
            unfinished[endpoint.phase, None].append(endpoint)
            unfinished[endpoint.phase, endpoint.group].append(endpoint)
    for endpoint in snapshot.endpoints:
        phase = phases.get(endpoint.phase) if endpoint.phase is not None else None
        if phase is None or phase.after is None:
            continue
        blockers = unfinished.get((phase.after, endpoint.group if phase.scope == "group" else None))
        if blockers:
            yield Violation(endpoint, phase.name, phase.after, tuple(blockers), standing)
