"""Endpoints in a rollout, whatever the configuration says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import Table
from proxy.core.settings import RolloutPlan
from proxy.core.wire.messages import EndpointPosition

PLAN: Final = RolloutPlan("careful", (0, 100, 10_000))


def planned(snapshot: Snapshot) -> Snapshot:
    """Every endpoint has a plan."""
    endpoints = tuple(replace(each, plan=PLAN) for each in snapshot.endpoints)
    return replace(snapshot, endpoints=endpoints, table=Table.build(endpoints))


def in_rollout(
    snapshot: Snapshot,
    weight: int,
    slow: float | None = None,
    first: tuple[str, ...] = (),
    epoch: str = "1.1",
) -> Snapshot:
    """Every endpoint is in a running one; `weight` in hundredths of a percent."""
    names = [each.name for each in snapshot.endpoints]
    positions = [EndpointPosition(name, weight, epoch, slow, list(first)) for name in names]
    return planned(snapshot).with_positions(positions)
