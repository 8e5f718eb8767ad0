"""What comparisons say of an endpoint, from the state database of a configuration."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

from proxy.control.admin.json.comparisons import summary_json
from proxy.control.running import running_state
from proxy.control.verdicts import in_force
from proxy.core.comparison.comparisons import report
from proxy.core.comparison.parity import nothing
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint
from proxy.store import StoreUnavailable, comparison_reader


def comparison(snapshot: Snapshot, endpoint: Endpoint) -> dict[str, Any] | None:
    """As in `GET /api/v1/endpoints`; None if the database cannot be asked."""
    server = snapshot.server
    try:
        url = running_state(Path(server.runtime_dir)) or server.state
        found = asyncio.run(comparison_reader.of_endpoint(url, endpoint.name))
    except StoreUnavailable:
        return None
    tally = in_force(found.tallies, endpoint, endpoint.name, date.today(), endpoint.compare.parity)
    limit = endpoint.compare.parity
    return summary_json(nothing(limit) if tally is None else report(tally, (), limit).parity)
