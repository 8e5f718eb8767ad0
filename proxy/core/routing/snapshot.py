"""The compiled, immutable routing table that every decision is made from.

`proxy.config` builds a `Snapshot` from routing.yaml; workers swap it whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from proxy.core.forwarding.protected import protected
from proxy.core.routing.keys import Assignment
from proxy.core.routing.table import Table
from proxy.core.settings import (
    ASYNC,
    Backend,
    BackendName,
    BreakerSettings,
    Buffers,
    Compare,
    Compression,
    Endpoint,
    Idempotency,
    KeySource,
    Phase,
    Retries,
    RolloutPlan,
    Server,
)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One accepted routing.yaml. `hash` is the config hash: equal hashes mean equal behaviour."""

    hash: str
    server: Server
    legacy: Backend
    async_: Backend
    salt: bytes
    sticky: tuple[KeySource, ...]
    unkeyed: Literal["random", "legacy"]
    override_token: str
    unlisted: Literal["legacy", "async", "404"]
    phases: tuple[Phase, ...]
    retries: Retries
    buffers: Buffers  # for requests that match no endpoint
    endpoints: tuple[Endpoint, ...]
    table: Table
    idempotency: Idempotency
    compare: Compare  # for requests that match no endpoint
    compression: Compression
    breaker: BreakerSettings  # for async as a whole
    contents: frozenset[str] = field(default=frozenset(), repr=False)
    """Of files that routing.yaml names (`${file:...}`), for the control plane: never to be shown."""
    plans: tuple[RolloutPlan, ...] = ()  # by name, also those that no endpoint uses
    assignments: tuple[Assignment, ...] = field(default=(), repr=False)
    """By Endpoint.index; computed here if not given."""
    protected: frozenset[bytes] = field(init=False, repr=False)
    """Fields that decide, in lower case: no client's Connection header takes them away."""

    def __post_init__(self) -> None:
        if len(self.assignments) != len(self.endpoints):
            made = tuple(Assignment(endpoint, self.salt) for endpoint in self.endpoints)
            object.__setattr__(self, "assignments", made)
        sources = {*self.sticky, *self.idempotency.principal}
        for endpoint in self.endpoints:
            if endpoint.sticky is not self.sticky:
                sources.update(endpoint.sticky)
        dry_run = [*self.legacy.dry_run, *self.async_.dry_run]
        twins = self.server.underscores == "pass"
        names = protected(self.idempotency.header, sources, dry_run, twins=twins)
        object.__setattr__(self, "protected", names)

    def backend(self, name: BackendName) -> Backend:
        return self.async_ if name == ASYNC else self.legacy
