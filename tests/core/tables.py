"""Endpoints and snapshots for tests, without YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.core.routing.decide import Context
from proxy.core.routing.phases import phase_of
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import Table
from proxy.core.settings import (
    SAFE_METHODS,
    Backend,
    BreakerSettings,
    Buffers,
    Compare,
    Compression,
    Endpoint,
    Idempotency,
    KeySource,
    Phase,
    Retries,
    Server,
)

USER = KeySource("header", "x-user-id")
PHASES = (
    Phase("reads", frozenset({"GET", "HEAD", "OPTIONS"})),
    Phase("writes", frozenset({"POST", "PUT", "PATCH", "DELETE"}), after="reads"),
)
CONTEXT = Context("192.0.2.1", lambda: 0.0, False)


def endpoint(name: str, weight: float = 0, **given: Any) -> Endpoint:
    """`weight` in percent."""
    method, _, template = name.partition(" ")
    literal = next((part for part in template.split("/") if part and not part.startswith("{")), "")
    defaults: dict[str, Any] = {
        "index": 0,
        "method": method,
        "template": template,
        "weight": round(weight * 100),
        "group": literal,
        "phase": phase_of(method, PHASES),
        "safe": method in SAFE_METHODS,
        "sticky": (USER,),
        "fallback": None,
    }
    return Endpoint(**{**defaults, **given})


def snapshot(endpoints: Sequence[Endpoint] = (), **given: Any) -> Snapshot:
    numbered = tuple(_renumbered(each, index) for index, each in enumerate(endpoints))
    defaults: dict[str, Any] = {
        "hash": "0" * 16,
        "server": Server(),
        "legacy": Backend("legacy", ()),
        "async_": Backend("async", ()),
        "salt": b"default",
        "sticky": (USER,),
        "unkeyed": "random",
        "override_token": "",
        "unlisted": "legacy",
        "phases": PHASES,
        "retries": Retries(),
        "buffers": Buffers(),
        "endpoints": numbered,
        "table": Table.build(numbered),
        "idempotency": Idempotency(),
        "compare": Compare(),
        "compression": Compression(),
        "breaker": BreakerSettings(),
    }
    return Snapshot(**{**defaults, **given})


def _renumbered(original: Endpoint, index: int) -> Endpoint:
    object.__setattr__(original, "index", index)
    return original
