"""Chooses where a request goes: `core.routing` decides for the client, and the breakers may override it."""

from __future__ import annotations

from proxy.core.forwarding.forwarded import client_address
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead
from proxy.core.routing.decide import Context, Decision, decide
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY
from proxy.edge.services import Services


def decided(services: Services, snapshot: Snapshot, head: RequestHead, context: Context) -> Decision:
    """`context` is that of the connection; behind a trusted proxy the client is another one."""
    if context.trusted:
        forwarded = head.fields.values(b"x-forwarded-for")
        client = client_address(context.peer, forwarded, services.trusted)
        context = Context(client, services.random, True)
    return decide(snapshot, head, context)


def diverted(services: Services, decision: Decision) -> Decision:
    """The same, or to legacy if a breaker keeps the request from async. Asked once, for it counts probes."""
    endpoint = decision.endpoint
    if decision.backend != ASYNC or endpoint is None:
        return decision
    if not services.breakers.divert(endpoint, services.random):
        return decision
    return Decision(endpoint, LEGACY, "breaker", decision.source, decision.unit)


def why_nowhere(decision: Decision) -> Malformed:
    """Why no backend is asked."""
    if decision.ambiguous:
        return Malformed(400, "ambiguous_path", "backends may read this path differently")
    return Malformed(404, "unlisted", "no endpoint matches this method and path")
