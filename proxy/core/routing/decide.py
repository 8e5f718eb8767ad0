"""Which backend a request goes to, and why. Runs for every request: no I/O, no waste.

The rules are asked in this order: preflight, unlisted, override, weight, unkeyed. The owner of an
idempotency key, the breaker and the fallback are applied afterwards by the edge.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from proxy.core.http1.request import RequestFields, RequestHead
from proxy.core.routing import paths
from proxy.core.routing.buckets import BUCKETS
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, FULL_WEIGHT, LEGACY, BackendName, Endpoint, KeySource, Reason


class Context:
    """What is not pure: `peer` is the client's address after `server.trusted_proxies`, "" if there is none;
    `random` returns a number in [0, 1); `trusted` says whether the connection came from a trusted proxy."""

    __slots__ = ("peer", "random", "trusted")

    def __init__(self, peer: str, random: Callable[[], float], trusted: bool) -> None:
        self.peer: Final = peer
        self.random: Final = random
        self.trusted: Final = trusted


class Decision:
    """`backend` None: the proxy answers itself, 400 if `ambiguous`, else 404.

    `source` and `unit` tell which sticky key decided; None where no key was needed (weight 0 or 100, unless
    a rollout counts by keys). Never changed. Not a named tuple: compiled, those are slower to make and
    to read.
    """

    __slots__ = ("ambiguous", "backend", "endpoint", "reason", "source", "unit")

    def __init__(
        self,
        endpoint: Endpoint | None,
        backend: BackendName | None,
        reason: Reason,
        source: KeySource | None = None,
        unit: int | None = None,
        ambiguous: bool = False,
    ) -> None:
        self.endpoint: Final = endpoint
        self.backend: Final = backend
        self.reason: Final = reason
        self.source: Final = source
        self.unit: Final = unit
        self.ambiguous: Final = ambiguous

    @property
    def bucket(self) -> int | None:
        """Of the sticky key."""
        return None if self.unit is None else self.unit % BUCKETS


class Key(NamedTuple):
    source: KeySource
    bucket: int


def decide(snapshot: Snapshot, head: RequestHead, context: Context) -> Decision:
    segments = paths.split(head.target)
    if segments is None:
        return _ambiguous(snapshot)
    method = head.method
    fields = head.fields
    endpoint = snapshot.table.find(method, segments)
    if method == "OPTIONS":
        asked_for = _preflight(snapshot, fields, segments)
        if asked_for is not None:
            backend: BackendName = ASYNC if asked_for.weight == FULL_WEIGHT else LEGACY
            return Decision(asked_for, backend, "preflight")
    if endpoint is None:
        return _unlisted(snapshot)
    if b"x-backend" in fields.special:
        chosen = _override(snapshot, fields)
        if chosen is not None:
            return Decision(endpoint, chosen, "override")
    if endpoint.plan is not None:
        return _in_rollout(snapshot, endpoint, fields, segments, context)
    weight = endpoint.weight
    if weight == 0:
        return Decision(endpoint, LEGACY, "weight")
    if weight == FULL_WEIGHT:
        return Decision(endpoint, ASYNC, "weight")
    assignment = snapshot.assignments[endpoint.index]
    for source, extractor in assignment.keys:
        key = extractor.key(fields, segments, context.peer)
        if key is not None:
            unit = assignment.buckets.unit(key)
            return Decision(endpoint, ASYNC if unit % BUCKETS < weight else LEGACY, "weight", source, unit)
    return _unkeyed(snapshot, endpoint, context)


def _in_rollout(
    snapshot: Snapshot, endpoint: Endpoint, fields: RequestFields, segments: Sequence[str], context: Context
) -> Decision:
    """As usual, but `first` keys are on async at any weight, and users are known also at 0 and 100."""
    weight = endpoint.weight
    fixed = weight == 0 or weight == FULL_WEIGHT
    assignment = snapshot.assignments[endpoint.index]
    if not fixed or assignment.counted or assignment.first:
        for source, extractor in assignment.keys:
            key = extractor.key(fields, segments, context.peer)
            if key is not None:
                unit = assignment.buckets.unit(key)
                if assignment.first and key in assignment.first:
                    return Decision(endpoint, ASYNC, "override", source, unit)
                backend: BackendName = ASYNC if unit % BUCKETS < weight else LEGACY
                return Decision(endpoint, backend, "weight", source, unit)
    if fixed:
        return Decision(endpoint, ASYNC if weight else LEGACY, "weight")
    return _unkeyed(snapshot, endpoint, context)


def _unkeyed(snapshot: Snapshot, endpoint: Endpoint, context: Context) -> Decision:
    """Safe requests may be dealt by chance."""
    if endpoint.safe and snapshot.unkeyed == "random" and context.random() * FULL_WEIGHT < endpoint.weight:
        return Decision(endpoint, ASYNC, "unkeyed")
    return Decision(endpoint, LEGACY, "unkeyed")


def sticky_key(snapshot: Snapshot, endpoint: Endpoint, head: RequestHead, peer: str) -> Key | None:
    """The key and bucket of a request that matched the endpoint, also where its weight needs none."""
    segments = paths.split(head.target)
    if segments is None:
        return None
    assignment = snapshot.assignments[endpoint.index]
    for source, extractor in assignment.keys:
        key = extractor.key(head.fields, segments, peer)
        if key is not None:
            return Key(source, assignment.buckets.of(key))
    return None


def _ambiguous(snapshot: Snapshot) -> Decision:
    """Goes where it always went; otherwise the backends' different readings would decide."""
    backend: BackendName | None = None if snapshot.server.ambiguous_paths == "reject" else LEGACY
    return Decision(None, backend, "unlisted", ambiguous=True)


def _unlisted(snapshot: Snapshot) -> Decision:
    backend: BackendName | None = None if snapshot.unlisted == "404" else snapshot.unlisted
    return Decision(None, backend, "unlisted")


def _preflight(snapshot: Snapshot, fields: RequestFields, segments: Sequence[str]) -> Endpoint | None:
    """The endpoint that a CORS preflight (Fetch standard, section 3.2.2) asks about; it carries no key."""
    method = fields.get(b"access-control-request-method")
    if method is None or b"origin" not in fields:
        return None
    return snapshot.table.find(method.decode("latin-1"), segments)


def _override(snapshot: Snapshot, fields: RequestFields) -> BackendName | None:
    """x-backend is obeyed only with the right x-backend-token; wrong ones are as if they were not there."""
    token = fields.get(b"x-backend-token") or b""
    expected = snapshot.override_token.encode()
    if not expected or not hmac.compare_digest(token, expected):
        return None
    wanted = (fields.get(b"x-backend") or b"").lower()
    return ASYNC if wanted == b"async" else LEGACY if wanted == b"legacy" else None
