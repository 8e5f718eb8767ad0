"""Results of comparisons as JSON-ready values. Times are RFC 3339, durations are milliseconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from proxy.control.verdicts import Standing
from proxy.core.comparison.comparisons import Report, Sample, Shown, Side, Tally
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.one_off import OneOff
from proxy.core.comparison.parity import Parity, PathEvidence
from proxy.core.settings import Endpoint
from proxy.core.timestamps import timestamp

COLUMNS: Final = (
    "path",
    "shape",
    "verdict",
    "differed",
    "rate",
    "b",
    "c",
    "p",
    "sees",
    "first",
    "last",
    "kind",
)


def comparisons_json(
    standings: Iterable[Standing], listed: Mapping[str, Endpoint], today: date, error: str
) -> dict[str, Any]:
    """`GET /api/v1/comparisons`."""
    found = [standing_json(each, listed.get(each.endpoint), today) for each in standings]
    return {"endpoints": found, "error": error or None}


def standing_json(standing: Standing, endpoint: Endpoint | None, today: date) -> dict[str, Any]:
    """One endpoint of `GET /api/v1/comparisons`."""
    found = standing.report
    return {
        "endpoint": standing.endpoint,
        **summary_json(standing.parity),
        "faults": sum(each.verdict == "fault" for each in standing.parity.paths),
        "noise": [noise_json(each) for each in standing.parity.paths if each.verdict == "noise"],
        "skipped": standing.skipped,
        "rules": rules_json(endpoint, found, today),
        "earlier": standing.earlier,
        "evidence": None if found is None else report_json(found),
    }


def summary_json(found: Parity) -> dict[str, Any]:
    """What is said of an endpoint wherever its weight is shown.

    `verdict` for programs, `text` for people; the figures as in `proxy.core.comparison.parity.Parity`.
    """
    return {
        "verdict": found.verdict,
        "text": str(found),
        "n": found.n,
        "m": found.m,
        "k": found.k,
        "bound": round(found.bound, 8),
        "parity": found.limit,
        "missing": found.missing,
        "units": found.units,
        "fields": found.fields,
        "hiding": found.hiding,
        "unanswered": found.unanswered,
        "once": found.once,
        "undecided": found.undecided,
    }


def report_json(found: Report) -> dict[str, Any]:
    """Whose answers these are, when they came, and what they did not show."""
    return {
        "scope": found.scope.id,
        "versions": {"legacy": found.scope.legacy, "async": found.scope.async_},
        "first": timestamp(found.first),
        "last": timestamp(found.last),
        "statuses": dict(found.statuses),
        "unseen_statuses": list(found.unseen_statuses),
        "rare_fields": [{"path": path, "count": count} for path, count in found.rare_fields],
        "users": found.users,
        "ids": found.ids,
        "asked": dict(found.asked),
        "unasked": list(found.unasked),
        "pace": found.pace,
        "latency": {"legacy": found.legacy.in_ms(), "async": found.async_.in_ms()},
    }


def rules_json(endpoint: Endpoint | None, found: Report | None, today: date) -> list[dict[str, Any]]:
    """Every rule in force with how many differences it hid; null where nothing was compared yet."""
    hidden = {} if found is None else found.hidden
    rules = () if endpoint is None else endpoint.compare.rules
    listed = [
        {
            "rule": str(rule),
            "hid": None if found is None else hidden.get(str(rule), 0),
            "expired": rule.expired(today),
        }
        for rule in rules
    ]
    named = {str(rule) for rule in rules}
    return listed + [
        {"rule": rule, "hid": count, "expired": False} for rule, count in hidden.items() if rule not in named
    ]


def noise_json(each: PathEvidence) -> dict[str, Any]:
    place = {"path": each.path, "shape": each.shape, "kind": each.kind}
    return {**place, "differed": each.differed, "sees": round(each.sees, 8)}


def field_json(each: PathEvidence, found: Report) -> dict[str, Any]:
    """One place of `GET /api/v1/comparisons/{endpoint}/fields`."""
    first, last = found.seen.get(Mark(each.path, each.kind), (found.first, found.last))
    return {
        "path": each.path,
        "shape": each.shape,
        "kind": each.kind,
        "verdict": each.verdict,
        "differed": each.differed,
        "rate": round(each.differed / found.parity.n, 8) if found.parity.n else None,
        "b": each.b,
        "c": each.c,
        "p": each.p,
        "sees": round(each.sees, 8),
        "first": timestamp(first),
        "last": timestamp(last),
    }


def fields_json(
    endpoint: str, chosen: Report | None, tallies: Iterable[Tally], current: str
) -> dict[str, Any]:
    """`GET /api/v1/comparisons/{endpoint}/fields`; `current` is the scope in force."""
    return {
        "endpoint": endpoint,
        "scope": None if chosen is None else chosen.scope.id,
        "fields": [] if chosen is None else [field_json(each, chosen) for each in chosen.parity.paths],
        "scopes": [scope_json(each, current) for each in tallies],
    }


def fields_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """Values of `field_json` with a line of names. A spreadsheet must not take a path for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for field in found:
        path = field["path"]
        shown = f"'{path}" if path[:1] in ("=", "+", "-", "@", "\t", "\r") else path
        writer.writerow([shown, *(field[name] for name in COLUMNS[1:])])
    return text.getvalue()


def scope_json(tally: Tally, current: str) -> dict[str, Any]:
    """One set of versions and rules whose evidence is kept."""
    return {
        "scope": tally.scope.id,
        "versions": {"legacy": tally.scope.legacy, "async": tally.scope.async_},
        "rules_hash": tally.scope.rules,
        "n": tally.n,
        "m": tally.m,
        "first": timestamp(tally.first),
        "last": timestamp(tally.last),
        "current": tally.scope.id == current,
    }


def samples_json(endpoint: str, samples: Iterable[Sample]) -> dict[str, Any]:
    """`GET /api/v1/comparisons/{endpoint}/samples`."""
    return {"endpoint": endpoint, "samples": [sample_json(each) for each in samples]}


def sample_json(sample: Sample) -> dict[str, Any]:
    """One stored comparison; secrets are redacted in the store already."""
    return {
        "id": sample.id,
        "time": timestamp(sample.time),
        "request": {
            "method": sample.method,
            "path": sample.target,
            "headers": [list(pair) for pair in sample.headers],
        },
        "legacy": side_json(sample.legacy),
        "async": side_json(sample.async_),
        "differences": [shown_json(each) for each in sample.differences],
        "left_out": sample.left_out,
    }


def one_off_json(result: OneOff) -> dict[str, Any]:
    """The answer of `POST /api/v1/compare`."""
    return {
        "endpoint": result.endpoint,
        "equal": not result.differences and not result.unreadable,
        "not_comparable": result.unreadable or None,
        "legacy": side_json(result.legacy),
        "async": side_json(result.async_),
        "differences": [shown_json(each) for each in result.differences],
        "left_out": result.left_out,
        "hidden": [{"rule": rule, "count": count} for rule, count in result.hidden],
        "expired": list(result.expired),
    }


def side_json(side: Side) -> dict[str, Any]:
    """`body` is null where it is not kept: too large, binary, or withheld."""
    return {
        "status": side.status,
        "headers": dict(side.headers),
        "body": side.body,
        "cut": side.cut,
        "bytes": side.size,
        "ms": round(side.seconds * 1000, 3),
    }


def shown_json(each: Shown) -> dict[str, Any]:
    """Values are JSON text, so that 1 and 1.0 stay apart; null: this side has none."""
    return {"path": each.path, "kind": each.kind, "legacy": each.legacy, "async": each.async_}
