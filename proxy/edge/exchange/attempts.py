"""The attempts to get a request answered: finds an upstream, and decides what follows a failure.

`core.resilience.retry` makes the decision; sending and relaying is done by the exchange.
"""

from __future__ import annotations

import random
from typing import Final

from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import (
    STATUS,
    UNSENT,
    Again,
    Attempt,
    FailureKind,
    after_failure,
    backoff,
    blames,
)
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY, BackendName, Endpoint, Reason
from proxy.edge import turns
from proxy.edge.deadlines import NEVER
from proxy.edge.exchange.states import ANSWERED, IDLE, SENT, SETTLING, STATES, TRANSITIONS, WAITING
from proxy.edge.ports import ClientPort, Receiver, UpstreamPort
from proxy.edge.services import Services
from proxy.edge.upstream.pool import Pool

RETRY_AFTER: Final = 1  # seconds suggested to a client that met something full or not ready


class Attempts(Receiver):
    """`backend` and `reason` follow the attempts: a fallback changes them."""

    __slots__ = (
        "_attempts",
        "_pool",
        "_retries",
        "answer",
        "backend",
        "body_complete",
        "client",
        "credited",
        "endpoint",
        "fallback_used",
        "fresh",
        "reason",
        "relayed",
        "safe",
        "services",
        "snapshot",
        "state",
        "streaming",
        "upstream",
    )

    def __init__(
        self,
        client: ClientPort,
        services: Services,
        snapshot: Snapshot,
        method: str,
        endpoint: Endpoint | None,
        backend: BackendName,
        reason: Reason,
        safe: bool,
    ) -> None:
        super().__init__(method)
        self.client: ClientPort | None = client
        self.services = services
        self.snapshot = snapshot  # one snapshot from start to end, whatever is reloaded meanwhile
        self.endpoint: Endpoint | None = endpoint
        self.backend = backend
        self.reason = reason
        self.safe = safe
        self.upstream: UpstreamPort | None = None
        self._pool: Pool | None = None
        self.answer: ResponseHead | None = None  # of the last attempt, if it was answered
        self.body_complete = True  # the request's
        self.streaming = False  # part of the body was sent and is no longer held
        self.state = IDLE
        self.relayed = False  # a byte of an answer went to the client
        self._attempts = 0
        self._retries = 0
        self.fallback_used = False
        self.credited = False  # this answer has counted as one, though its end has not come
        self.fresh = False  # an attempt died: the next must not meet another dead connection

    def __repr__(self) -> str:
        name = "unlisted" if self.endpoint is None else self.endpoint.name
        return f"<{type(self).__name__} {name} to {self.backend}: {STATES[self.state]}>"

    def turn(self, state: int) -> None:
        """The one place where the state changes."""
        if self.services.debug:
            turns.tell(self, STATES, TRANSITIONS, self.state, state)
        self.state = state

    @property
    def asked(self) -> bool:
        """Whether any backend was."""
        return self._attempts > 0

    # what an exchange adds

    def give_up(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        """No attempt is left."""
        raise NotImplementedError

    # called by itself, the pool and the upstream's connection

    def attempt(self) -> None:
        """Another one, at `backend`."""
        self._attempts += 1
        self.turn(WAITING)
        self.answer = None
        pool = self._pool = self.services.pools[self.backend]
        connection = pool.acquire(self, write=not self.safe, fresh=self.fresh, upload=not self.body_complete)
        if connection is not None:
            self.on_connection(connection)

    def wants_connection(self, pool: object) -> bool:
        return self.state == WAITING and self._pool is pool

    def on_deadline(self, now: float) -> None:
        """Waited too long for the pool."""
        self.deadline = NEVER
        if self.state != WAITING:
            self.violated("deadline_unset")
            return
        if self._pool is not None:
            self._pool.stop_waiting(self)
        self.on_failure("no_connection", f"no connection to the {self.backend} backend became free in time")

    def leave_pool(self) -> None:
        """No connection is wanted any more, if one was."""
        if self.state == WAITING:
            self.turn(IDLE)
            if self._pool is not None and self.deadline != NEVER:
                self.deadline = NEVER
                self._pool.stop_waiting(self)

    def violated(self, what: str) -> None:
        """An event came in a state that it does not belong to: a fault of ours, confined to this client."""
        self.services.counters.violated(what, repr(self))
        self.drop_upstream()
        if self.client is not None:
            self.client.abort()

    def drop_upstream(self) -> None:
        """Whatever is under way on its connection."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def is_open(self) -> bool:
        """Whether bytes of the request may have left, and its outcome is open."""
        return self.state == SENT or self.state == ANSWERED

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        """An attempt came to nothing; the failure table says what now."""
        if self.state >= SETTLING or self.state == IDLE:
            return
        failed = self._failed(kind)
        if self.backend == ASYNC and blames(failed) and not self.credited:
            self.services.breakers.failed(self.endpoint)
        verdict = after_failure(failed)
        if not isinstance(verdict, Again):
            self.give_up(verdict.status, kind, detail, unknown=verdict.unknown, abort=verdict.abort)
        elif self.client is not None and self._may_retry(verdict):
            self.again(verdict)
        else:
            self.give_up(STATUS[kind], kind, detail, unknown=False, abort=False)

    def _failed(self, kind: FailureKind) -> Attempt:
        """What is known of the attempt, which is over by that."""
        sent = self.is_open()
        self.turn(IDLE)
        self.fresh = self.fresh or sent
        upstream, self.upstream = self.upstream, None
        return Attempt(
            failure=kind,
            safe=self.safe,
            sent=sent and kind not in UNSENT,
            reused=upstream is not None and upstream.used,
            read=upstream is not None and upstream.read,
            answered=upstream is not None and upstream.answered,
            relayed=self.relayed,
            whole=self.body_complete and not self.streaming,
            attempts=self._attempts,
            upstreams=len(self.snapshot.backend(self.backend).upstreams),
            fallback=self._fallback_available(),
            retried=self._retries > 0,
            stuck=kind == "no_connection" and self._pool is not None and self._pool.is_stuck(),
        )

    def on_given_up(self) -> None:
        """The client has left; what it waited for may have been a backend that hangs."""
        upstream = self.upstream
        if upstream is not None and upstream.given_up() and self.backend == ASYNC:
            self.services.breakers.hung(self.endpoint)

    def _may_retry(self, verdict: Again) -> bool:
        services = self.services
        return not verdict.budgeted or services.budget.withdraw(
            services.loop.time(), services.observers.observed
        )

    def _fallback_available(self) -> bool:
        endpoint = self.endpoint
        return (
            self.backend == ASYNC
            and endpoint is not None
            and endpoint.fallback == LEGACY
            and not self.fallback_used
        )

    def again(self, verdict: Again) -> None:
        """Another attempt is due."""
        self.try_again(verdict)

    def try_again(self, verdict: Again) -> None:
        """Another attempt, as the failure table says."""
        self.services.counters.count_retry(self.endpoint, verdict.why)
        if verdict.budgeted:  # the fresh try after a stale connection comes on top
            self._retries += 1
        if verdict.on_fallback:
            self.backend = LEGACY
            self.reason = "fallback"
            self.fallback_used = True
            self._attempts = 0
            self.fresh = False  # the other backend's connections are as good as ever
            self.tried = ()
        if verdict.budgeted:
            delay = backoff(self.snapshot.retries, max(1, self._retries), random.random())
            self.services.loop.call_later(delay, self._attempt_after_backoff)
        else:
            self.attempt()

    def _attempt_after_backoff(self) -> None:
        if self.state == IDLE:
            self.attempt()
