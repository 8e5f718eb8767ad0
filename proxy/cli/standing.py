"""Where the rollouts of a file stand, as the proxy that runs with this file tells."""

from __future__ import annotations

import os
from typing import Any

from proxy.cli import admin as admin_port
from proxy.cli.target import admin_of
from proxy.core.routing.phases import RolloutStanding, left_out
from proxy.core.routing.snapshot import Snapshot


def runs_with(admin: str, file: str) -> bool:
    """Whether the proxy at this admin port runs with this file."""
    running = admin_port.peek(admin, "/api/v1/config")
    return isinstance(running, dict) and running.get("source") == os.path.abspath(file)


def proxy_with(file: str, admin: str | None) -> str | None:
    """The admin port to wait at: `admin`, else the file's own if a proxy there runs with this file."""
    if admin is not None:
        return admin
    usual = admin_of(file)
    return usual if runs_with(usual, file) else None


def standing_of(snapshot: Snapshot, file: str, admin: str | None = None) -> RolloutStanding | None:
    """None if the file has no rollouts, or no proxy runs with it. `admin`: the file's own if not given."""
    admin = admin or admin_of(file)
    if not left_out(snapshot) or not runs_with(admin, file):
        return None
    return _standing(admin_port.peek(admin, "/api/v1/rollouts"))


def _standing(answer: Any) -> RolloutStanding | None:
    """None for what is no such answer, as of an older proxy."""
    try:
        rows = answer["rollouts"]
        weights = {str(row["endpoint"]): round(100 * float(row["weight"])) for row in rows}
        return RolloutStanding(weights, {row["endpoint"] for row in rows if row["state"] == "done"})
    except (KeyError, TypeError, ValueError):
        return None
