"""The compiled, immutable routing table that every decision is made from.

`proxy.config` builds a `Snapshot` from routing.yaml; workers swap it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from proxy.core.forwarding.protected import protected
from proxy.core.routing.keys import Assignment
from proxy.core.routing.table import Table, TableRevision
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
from proxy.core.wire.messages import EndpointPosition

SLICE: Final = 50  # endpoints: about a millisecond


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
    positions: Mapping[str, EndpointPosition] = field(default_factory=dict, repr=False)
    """Of rollouts, by the endpoint's name: those that are in force here."""
    protected: frozenset[bytes] = field(init=False, repr=False)
    """Fields that decide, in lower case: no client's Connection header takes them away."""

    def __post_init__(self) -> None:
        if len(self.assignments) != len(self.endpoints):
            made = tuple(Assignment.of(endpoint, self.salt) for endpoint in self.endpoints)
            object.__setattr__(self, "assignments", made)
        sources = {*self.sticky, *self.idempotency.principal}
        for endpoint in self.endpoints:
            if endpoint.sticky is not self.sticky:
                sources.update(endpoint.sticky)
        dry_run = [*self.legacy.dry_run, *self.async_.dry_run]
        twins = self.server.underscores == "pass"
        names = protected(self.idempotency.header, sources, dry_run, twins=twins)
        object.__setattr__(self, "protected", names)

    def with_positions(self, positions: Iterable[EndpointPosition]) -> Snapshot:
        """The effective snapshot: see `positions_in_slices`."""
        *_, effective = self.positions_in_slices(positions)
        assert effective is not None
        return effective

    def positions_in_slices(self, positions: Iterable[EndpointPosition]) -> Iterator[Snapshot | None]:
        """Yields None after every SLICE positions, so that others may have their turn; at last the snapshot.

        Endpoints with a plan get the weight and the `first` keys of their position; those without one keep
        what the file says. So ask the file's own snapshot, not one that has positions already.
        """
        named = {position.endpoint: position for position in positions}
        endpoints, assignments = list(self.endpoints), list(self.assignments)
        table = TableRevision(self.table)
        in_force: dict[str, EndpointPosition] = {}
        for index, endpoint in enumerate(self.endpoints):
            position = None if endpoint.plan is None else named.get(endpoint.name)
            if position is None:
                continue
            if position.weight != endpoint.weight:
                endpoints[index] = replace(endpoint, weight=position.weight)
                table.replace(endpoint, endpoints[index])
            counted = bool(position.epoch)
            assignments[index] = assignments[index].in_rollout(position.first, counted=counted)
            in_force[endpoint.name] = position
            if len(in_force) % SLICE == 0:
                yield None
        effective = replace(
            self,
            endpoints=tuple(endpoints),
            table=table.table(),
            assignments=tuple(assignments),
            positions=in_force,
        )
        object.__setattr__(effective, "protected", self.protected)  # the same object: it is a cache's key
        yield effective

    def endpoint(self, name: str) -> Endpoint | None:
        """By its name, such as `GET /a`; looks at one after the other."""
        return next((each for each in self.endpoints if each.name == name), None)

    def backend(self, name: BackendName) -> Backend:
        return self.async_ if name == ASYNC else self.legacy
