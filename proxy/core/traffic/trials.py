"""Adding up what workers report of trials: maps by OR, counts by sum."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.evidence.units import added
from proxy.core.wire.messages import UnitReport


def merge_units(reports: Iterable[UnitReport]) -> list[UnitReport]:
    """One for each endpoint and epoch. Of several versions of async the last is kept."""
    merged: dict[tuple[str, str], UnitReport] = {}
    for report in reports:
        key = (report.endpoint, report.epoch)
        known = merged.get(key)
        merged[key] = report if known is None else _both(known, report)
    return list(merged.values())


def _both(known: UnitReport, new: UnitReport) -> UnitReport:
    return UnitReport(
        new.endpoint,
        new.epoch,
        union(known.active, new.active),
        union(known.failing, new.failing),
        union(known.refused, new.refused),
        union(known.slower, new.slower),
        added(known.legacy, new.legacy),
        added(known.async_, new.async_),
        new.version or known.version,
    )


def union(one: bytes, other: bytes) -> bytes:
    """Of two maps; b"" is an empty one."""
    if not one or not other or one == other:
        return one or other
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return both.to_bytes(max(len(one), len(other)), "little")
