"""How far the migration of each endpoint is, from when each backend was last hit and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from proxy.core.routing import paths
from proxy.core.settings import FULL_WEIGHT, LEGACY

QUIET: Final = 7 * 86_400.0
"""Seconds at 100 without a request to legacy after which an endpoint is done: weekly jobs have run."""

Progress = Literal["not started", "moving", "legacy still hit", "waiting", "done"]
"""`legacy still hit` and `waiting` are at 100; only `done` is safe to delete from legacy."""

_IDENTIFIER: Final = re.compile(
    r"(?=[^/]*\d)(?:\d+|[0-9a-fA-F-]{8,}|[A-Za-z]+[_-][A-Za-z0-9]{2,}|.{25,})"
).fullmatch
_SEGMENTS: Final = 8
_SEGMENT: Final = 64  # characters; what is longer is no name
MAX_SHAPE: Final = 256  # characters


class Hits(NamedTuple):
    """Requests since the endpoint has its weight. `last` in Unix seconds."""

    requests: int
    last: float


class LedgerRow(NamedTuple):
    """`since` is when the weight became what it is; `hits` are by (backend, reason)."""

    weight: int  # hundredths of a percent
    since: float
    hits: Mapping[tuple[str, str], Hits]


def progress(row: LedgerRow, now: float) -> Progress:
    if row.weight == 0:
        return "not started"
    if row.weight < FULL_WEIGHT:
        return "moving"
    if any(hits.last > now - QUIET for hits in legacy_hits(row).values()):
        return "legacy still hit"
    return "done" if now - row.since >= QUIET else "waiting"


def legacy_hits(row: LedgerRow) -> dict[str, Hits]:
    """By reason: who still asks legacy."""
    return {reason: hits for (backend, reason), hits in row.hits.items() if backend == LEGACY}


def last_hit(row: LedgerRow, backend: str) -> float | None:
    """When the backend was last asked, Unix seconds, since the weight became what it is."""
    return max((hits.last for (name, _), hits in row.hits.items() if name == backend), default=None)


def shape(method: str, target: bytes) -> str | None:
    """An unlisted request as an endpoint that one could list: GET /users/42?x -> "GET /users/{id}".

    None for a path that could not be listed. Segments that look like identifiers become parameters.
    """
    segments = paths.split(target)
    if not segments or len(segments) > _SEGMENTS or not all(map(_plain, segments)):
        return None
    found = f"{method} /{'/'.join(_parameters(segments))}"
    return found if len(found) <= MAX_SHAPE else None


def _plain(segment: str) -> bool:
    return segment.isascii() and not set(segment) & set("{}%\"'\\")


def _parameters(segments: Iterable[str]) -> list[str]:
    named: list[str] = []
    for segment in segments:
        number = sum(each.startswith("{") for each in named) + 1
        name = "{id}" if number == 1 else f"{{id{number}}}"
        named.append(name if len(segment) > _SEGMENT or _IDENTIFIER(segment) else segment)
    return named
