"""What to do when an upstream failed: one exhaustive function of what is known.

The rule behind all of it: a write whose bytes may have reached a backend is never sent again, anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from proxy.core.settings import Retries

FailureKind = Literal[
    "connect_failed",  # refused, unreachable, TLS failed: nothing was sent
    "connect_timeout",  # nothing was sent
    "no_connection",  # the pool stayed full for the whole wait: nothing was sent
    "reset",  # closed or reset before a whole response
    "timeout",  # no response head, or a gap in the body
    "bad_response",  # an answer that cannot be relayed
]

UNSENT: Final = frozenset({"connect_failed", "connect_timeout", "no_connection"})

STATUS: Final[dict[FailureKind, int]] = {
    "connect_failed": 502,
    "connect_timeout": 504,
    "no_connection": 503,
    "reset": 502,
    "timeout": 504,
    "bad_response": 502,
}

MAX_CONNECT_ATTEMPTS: Final = 3


class Attempt(NamedTuple):
    """What is known when an attempt has failed."""

    failure: FailureKind
    safe: bool  # the endpoint may be executed twice
    sent: bool  # at least one byte of the request may have left
    reused: bool  # on a pooled connection
    read: bool  # the whole request was certainly read: no connection that had been dying anyway
    answered: bool  # at least one byte of the response came in
    relayed: bool  # at least one byte of the response went to the client
    whole: bool  # the request body is still held, so it can be sent again
    attempts: int  # attempts on this backend so far, this one included
    upstreams: int  # addresses of this backend
    fallback: bool  # another backend is configured and has not been tried
    retried: bool  # one retry after bytes were sent has been spent
    stuck: bool  # nothing came from the backend while this request waited for a connection
    spare: bool  # the other backend has a free connection, for which nobody waits


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more. `budgeted` retries need a token from the retry budget, and wait for the backoff.

    A fallback is none of those: it goes to a backend that has not failed, and what bounds it is what that
    backend's pool can take.
    """

    on_fallback: bool
    why: str
    budgeted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer `status`, or abort the client's connection if part of a response is already out."""

    status: int
    kind: FailureKind
    unknown: bool  # a write that may or may not have happened
    abort: bool


def after_failure(attempt: Attempt) -> Again | GiveUp:
    """The failure table of docs/architecture.md."""
    unknown = attempt.sent and not attempt.safe
    give_up = GiveUp(STATUS[attempt.failure], attempt.failure, unknown, attempt.relayed)
    if attempt.relayed:
        return give_up
    if not attempt.sent:
        return _after_unsent(attempt, give_up)
    if not attempt.safe or not attempt.whole:
        return give_up
    if attempt.fallback:
        stale = is_stale(attempt) and not attempt.read
        why = "stale_connection" if stale else attempt.failure
        return Again(on_fallback=not stale, why=why, budgeted=False)
    if attempt.retried:
        return give_up
    if is_stale(attempt):
        return Again(on_fallback=False, why="stale_connection", budgeted=False)
    return Again(on_fallback=False, why=attempt.failure, budgeted=True)


def is_stale(attempt: Attempt) -> bool:
    """Whether this may have been an idle connection's usual end, which says nothing about the backend."""
    return attempt.failure == "reset" and attempt.reused and not attempt.answered


def blames(attempt: Attempt) -> bool:
    """Whether the failure speaks against the backend, and counts for its breakers.

    A full pool does not: it is as full while the backend is asked for more than its connections can carry.
    """
    return attempt.failure != "no_connection" and (attempt.read or not is_stale(attempt))


def _after_unsent(attempt: Attempt, give_up: GiveUp) -> Again | GiveUp:
    if attempt.failure == "no_connection":
        if attempt.fallback and attempt.safe and (attempt.stuck or (attempt.spare and attempt.whole)):
            return Again(on_fallback=True, why=attempt.failure, budgeted=False)
        return give_up  # a backend that is merely busy may use what the other one has left, and no more
    if attempt.attempts < min(attempt.upstreams, MAX_CONNECT_ATTEMPTS):
        return Again(on_fallback=False, why=attempt.failure, budgeted=False)
    if attempt.fallback:
        return Again(on_fallback=True, why=attempt.failure, budgeted=False)
    return give_up


class Budget:
    """Bounds retries to a share of requests plus a small constant rate, so that they never amplify an outage.

    A token bucket: each request adds `budget`, each second adds `min_per_second`, a retry takes one.
    """

    __slots__ = ("_requests", "_retries", "_tokens", "_updated")

    CAPACITY_SECONDS: Final = 10.0

    def __init__(self, retries: Retries, now: float, requests: int = 0) -> None:
        self._retries = retries
        self._tokens = retries.min_per_second
        self._updated = now
        self._requests = requests

    def withdraw(self, now: float, requests: int) -> bool:
        """Whether one more retry may be made now; takes its token. `requests`: how many were made so far."""
        rate = self._retries.min_per_second
        earned = rate * (now - self._updated) + self._retries.budget * (requests - self._requests)
        self._tokens = min(max(1.0, rate * self.CAPACITY_SECONDS), self._tokens + earned)
        self._updated = now
        self._requests = requests
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def backoff(retries: Retries, retry: int, random: float) -> float:
    """Seconds before the `retry`-th retry (from 1): exponential with full jitter; `random` in [0, 1)."""
    return float(min(retries.max_backoff, retries.backoff * 2 ** (retry - 1)) * random)
