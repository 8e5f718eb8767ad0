"""Whose request it was: requests by the backend that was to answer them, not by the one that did.

A request that async failed and legacy saved is async's, or a dead async would look healthy. What the proxy
answered itself without asking a backend (a replay, a refusal) is nobody's.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, NamedTuple

from proxy.core.settings import ASYNC, BACKENDS
from proxy.core.wire.messages import Requests, Stats

Outcome = Literal["ok", "error", "saved", "aborted"]

SAVED: Final = frozenset({"breaker", "fallback"})
CHOSEN: Final = frozenset({"weight", "unkeyed"}) | SAVED
"""Reasons by which the routing table itself chose the backend: no override, no owner of a key."""


class Intended(NamedTuple):
    """`requests` of one endpoint that were to be answered by `backend`."""

    endpoint: str
    backend: str
    reason: str
    outcome: Outcome
    requests: int

    @property
    def failed(self) -> bool:
        """Whether `backend` itself did not answer, or answered 5xx."""
        return self.outcome != "ok"


Labels = tuple[str, str, str, int]
"""(endpoint, backend that answered, reason, status)"""


def asked(totals: Stats) -> dict[Labels, int]:
    """Requests that a backend was asked for; those of `totals.requests`, which may be partial."""
    own = {_labels(line): line.count for line in totals.own}
    found = {_labels(line): line.count for line in totals.requests if line.backend in BACKENDS}
    if own:
        found = {labels: count - own.get(labels, 0) for labels, count in found.items()}
    return found


def intended(totals: Stats) -> list[Intended]:
    """Of every request that a backend was asked for, whatever the reason."""
    return [of(labels, count) for labels, count in asked(totals).items() if count > 0]


def counts(totals: Stats) -> Counter[tuple[str, str, Outcome]]:
    """By endpoint, backend and outcome, of those that the routing table sent."""
    found: Counter[tuple[str, str, Outcome]] = Counter()
    for each in intended(totals):
        if each.reason in CHOSEN:
            found[each.endpoint, each.backend, each.outcome] += each.requests
    return found


def of(labels: Labels, count: int) -> Intended:
    """What `count` requests with these labels are."""
    endpoint, backend, reason, status = labels
    saved = reason in SAVED
    outcome: Outcome = "ok"
    if status == 0:
        outcome = "aborted"
    elif status >= 500:
        outcome = "error"
    elif saved:
        outcome = "saved"
    return Intended(endpoint, ASYNC if saved else backend, reason, outcome, count)


def _labels(line: Requests) -> Labels:
    return line.endpoint, line.backend, line.reason, line.status
