"""The order of the migration: an endpoint may move only when the previous phase has moved completely.

For `check`, a file that breaks the order is an error. A running proxy refuses only changes that raise an
endpoint, so a rollback is never refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import FULL_WEIGHT, Endpoint, Phase

_NAMED: int = 3  # blockers that a message names; the others are counted


class Violation(NamedTuple):
    """`endpoint` has a weight though `blockers`, endpoints of the phase `after`, are not at 100."""

    endpoint: Endpoint
    phase: str
    after: str
    blockers: tuple[Endpoint, ...]

    def __str__(self) -> str:
        first = ", ".join(f"{each.name} ({percent(each.weight)})" for each in self.blockers[:_NAMED])
        more = f" and {len(self.blockers) - _NAMED} more" if len(self.blockers) > _NAMED else ""
        return (
            f"{self.endpoint.name}: weight {percent(self.endpoint.weight)} in phase {self.phase} "
            f"before phase {self.after} is at 100: {first}{more}"
        )


def phase_of(method: str, phases: Sequence[Phase]) -> str | None:
    """The first phase that lists the method."""
    return next((phase.name for phase in phases if method in phase.methods), None)


def violations(snapshot: Snapshot) -> tuple[Violation, ...]:
    """Every endpoint that breaks the order, in the order of the file. `force` excuses an endpoint."""
    return tuple(_all(snapshot, forced=False))


def forced(snapshot: Snapshot) -> tuple[Violation, ...]:
    """What would be violations without `force`."""
    return tuple(_all(snapshot, forced=True))


def refused(old: Snapshot | None, new: Snapshot) -> tuple[Violation, ...]:
    """The violations whose endpoint the new configuration raises. A cold start (old is None) refuses none."""
    if old is None:
        return ()
    before = {endpoint.name: endpoint.weight for endpoint in old.endpoints}
    return tuple(each for each in violations(new) if each.endpoint.weight > before.get(each.endpoint.name, 0))


def percent(weight: int) -> str:
    """Hundredths of a percent as written in routing.yaml: 1250 -> "12.5"."""
    return f"{weight / 100:.2f}".rstrip("0").rstrip(".")


def _all(snapshot: Snapshot, *, forced: bool) -> list[Violation]:
    phases = {phase.name: phase for phase in snapshot.phases}
    unfinished: defaultdict[tuple[str, str | None], list[Endpoint]] = defaultdict(list)
    for endpoint in snapshot.endpoints:
        if endpoint.phase is not None and endpoint.weight < FULL_WEIGHT:
            unfinished[endpoint.phase, None].append(endpoint)
            unfinished[endpoint.phase, endpoint.group].append(endpoint)
    found = []
    for endpoint in snapshot.endpoints:
        phase = phases.get(endpoint.phase) if endpoint.phase is not None else None
        if (
            phase is None
            or phase.after is None
            or not endpoint.weight
            or (endpoint.force is not None) != forced
        ):
            continue
        blockers = unfinished.get((phase.after, endpoint.group if phase.scope == "group" else None))
        if blockers:
            found.append(Violation(endpoint, phase.name, phase.after, tuple(blockers)))
    return found
