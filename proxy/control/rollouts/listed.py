"""Finds the endpoint that somebody names."""

from __future__ import annotations

from typing import Final

from proxy.control.errors import Refusal
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint

NO_ROLLOUT: Final = "{} has a weight, and no rollout"


def listed(snapshot: Snapshot, name: str) -> Endpoint:
    """Raises Refusal."""
    endpoint = snapshot.endpoint(name)
    if endpoint is None:
        raise Refusal(404, f"{name} is not an endpoint of the configuration")
    return endpoint
