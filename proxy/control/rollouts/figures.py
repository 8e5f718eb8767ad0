"""What is shown of a rollout: as last decided here, or as the one that leads has stored it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.control.rollouts.about import about
from proxy.control.rollouts.board import Board
from proxy.core.rollout.facts import Next
from proxy.core.rollout.position import RolloutPosition
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import RolloutPlan
from proxy.store.rollouts import Freeze


class RolloutFigures(NamedTuple):
    """One rollout. `shown` is as `shown` makes it; empty before anything was decided."""

    plan: RolloutPlan
    group: str
    position: RolloutPosition
    shown: Mapping[str, Any]


class RolloutsFigures(NamedTuple):
    """All of them at one moment. `leader`: who runs them; `here`: this process. `problem` says why what is
    known may be old."""

    now: float
    rollouts: tuple[RolloutFigures, ...]
    freeze: Freeze
    leader: str
    here: bool
    problem: str


def figures(board: Board, snapshot: Snapshot, now: float) -> RolloutsFigures:
    """In the order of the file."""
    found = []
    for endpoint in snapshot.endpoints:
        row = board.row(endpoint)
        if row is None or endpoint.plan is None:
            continue
        next = board.results.get(endpoint.name)
        said = about(row.about).shown if next is None else shown(next)
        found.append(RolloutFigures(endpoint.plan, endpoint.group, row.position, said))
    return RolloutsFigures(now, tuple(found), board.freeze, board.leader, board.leads, board.problem)


def shown(next: Next) -> dict[str, Any]:
    """JSON values."""
    active, failed = next.evidence.active(), next.evidence.failed()
    return {
        "target": next.target,
        "missing": list(next.missing),
        "eta_seconds": next.eta_seconds,
        "units": {
            "legacy": {"active": active.legacy, "failed": failed.legacy},
            "async": {"active": active.async_, "failed": failed.async_},
        },
        "e_values": dict(next.e_values),
        "bounds": dict(next.bounds),
        "needed": dict(next.needed),
        "threshold": next.threshold,
        "doubt": next.doubt,
    }
