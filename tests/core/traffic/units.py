"""Reports of trials for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Stats, UnitReport

BLANK = UnitReport("GET /a", "1", b"", b"", b"", b"", (0, 0, 0, 0), (0, 0, 0, 0))


def report(endpoint: str = "GET /a", **given: Any) -> UnitReport:
    return msgspec.structs.replace(BLANK, endpoint=endpoint, **given)


def stats(*units: UnitReport, partial: bool = False) -> Stats:
    return msgspec.structs.replace(EMPTY, units=list(units), partial=partial)
