"""The attempts to have a request answered: finds an upstream, and says what comes after a failure.

What to do is decided by `core.retry`; how a request is sent and relayed is the exchange's part.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

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
from proxy.edge.deadlines import NEVER

if TYPE_CHECKING:
    from proxy.edge.client.http1 import ClientConnection
    from proxy.edge.services import Services
    from proxy.edge.upstream.connection import UpstreamConnection
    from proxy.edge.upstream.pool import Address, Pool


# The states of an exchange. Each event is taken only in the states that it belongs to, and every change is
# made at once, before anything is awaited: an exchange that is over can neither take a connection nor write.
IDLE: Final = 0  # before the first attempt, or between two
WAITING: Final = 1  # for a connection from `_pool`
SENT: Final = 2  # the request is on its way or sent; nothing of the answer is here
ANSWERED: Final = 3  # the head of the answer is here
SETTLING: Final = 4  # the outcome is known; it is stored, then the client hears of it
ENDED: Final = 5
STATES: Final = ("idle", "waiting", "sent", "answered", "settling", "ended")

RETRY_AFTER: Final = 1  # seconds suggested to a client that met something full or not ready


class Attempts:
    """`backend` and `reason` follow the attempts: a fallback changes them."""

    __slots__ = (
        "_answer",
        "_attempts",
        "_body_complete",
        "_fallback_used",
        "_fresh",
        "_pool",
        "_relayed",
        "_retries",
        "_state",
        "_streaming",
        "backend",
        "client",
        "deadline",
        "endpoint",
        "reason",
        "safe",
        "services",
        "snapshot",
        "tried",
        "upstream",
    )

    def __init__(
        self,
        client: ClientConnection,
        services: Services,
        snapshot: Snapshot,
        endpoint: Endpoint | None,
        backend: BackendName,
        reason: Reason,
        safe: bool,
    ) -> None:
        self.client: ClientConnection | None = client
        self.services = services
        self.snapshot = snapshot  # one snapshot from start to end, whatever is reloaded meanwhile
        self.endpoint: Endpoint | None = endpoint
        self.backend = backend
        self.reason = reason
        self.safe = safe
        self.upstream: UpstreamConnection | None = None
        self.tried: tuple[Address, ...] = ()
        self.deadline = NEVER  # while waiting for a connection
        self._pool: Pool | None = None
        self._answer: ResponseHead | None = None
        self._body_complete = True
        self._streaming = False  # part of the body was sent and is no longer held
        self._state = IDLE
        self._relayed = False
        self._attempts = 0
        self._retries = 0
        self._fallback_used = False
        self._fresh = False  # an attempt died: the next must not meet another dead connection

    def __repr__(self) -> str:
        name = "unlisted" if self.endpoint is None else self.endpoint.name
        return f"<{type(self).__name__} {name} to {self.backend}: {STATES[self._state]}>"

    @property
    def asked(self) -> bool:
        """Whether any backend was."""
        return self._attempts > 0

    @property
    def answer(self) -> ResponseHead | None:
        """Of the last attempt, if it was answered."""
        return self._answer

    # what an exchange adds

    def on_connection(self, connection: UpstreamConnection) -> None:
        """The connection for this attempt."""
        raise NotImplementedError

    def _give_up(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        """No attempt is left."""
        raise NotImplementedError

    # called by itself, the pool and the upstream's connection

    def _attempt(self) -> None:
        self._attempts += 1
        self._state = WAITING
        self._answer = None
        pool = self._pool = self.services.pools[self.backend]
        connection = pool.acquire(
            self, write=not self.safe, fresh=self._fresh, upload=not self._body_complete
        )
        if connection is not None:
            self.on_connection(connection)

    def wants_connection(self, pool: Pool) -> bool:
        return self._state == WAITING and self._pool is pool

    def on_deadline(self, now: float) -> None:
        """Waited too long for the pool."""
        self.deadline = NEVER
        if self._state != WAITING:
            self._violated("deadline_unset")
            return
        if self._pool is not None:
            self._pool.stop_waiting(self)
        self.on_failure("no_connection", f"no connection to the {self.backend} backend became free in time")

    def _leave_pool(self) -> None:
        """No connection is wanted any more, if one was."""
        if self._state == WAITING:
            self._state = IDLE
            if self._pool is not None and self.deadline != NEVER:
                self.deadline = NEVER
                self._pool.stop_waiting(self)

    def _violated(self, what: str) -> None:
        """An event came in a state that it does not belong to: a fault of ours, confined to this client."""
        self.services.violated(what, repr(self))
        self._drop_upstream()
        if self.client is not None:
            self.client.abort()

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def _pause_client(self) -> None:
        if self.client is not None:
            self.client.pause_body()

    def _resume_client(self) -> None:
        if self.client is not None:
            self.client.resume_body()

    def _sent(self) -> bool:
        """Whether bytes of the request may have left, and its outcome is open."""
        return self._state == SENT or self._state == ANSWERED

    def is_sent(self) -> bool:
        """Whether the request is on its way, and nothing of an answer is here."""
        return self._state == SENT

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        """An attempt came to nothing; the failure table says what now."""
        if self._state >= SETTLING or self._state == IDLE:
            return
        sent = self._sent()
        self._state = IDLE
        self._fresh = self._fresh or sent
        upstream, self.upstream = self.upstream, None
        failed = Attempt(
            failure=kind,
            safe=self.safe,
            sent=sent and kind not in UNSENT,
            reused=upstream is not None and upstream.used,
            read=upstream is not None and upstream.read,
            answered=upstream is not None and upstream.answered,
            relayed=self._relayed,
            whole=self._body_complete and not self._streaming,
            attempts=self._attempts,
            upstreams=len(self.snapshot.backend(self.backend).upstreams),
            fallback=self._fallback_available(),
            retried=self._retries > 0,
            stuck=kind == "no_connection" and self._pool is not None and self._pool.is_stuck(),
        )
        if self.backend == ASYNC and blames(failed):
            self.services.record_failure(self.endpoint)
        verdict = after_failure(failed)
        if isinstance(verdict, Again) and self.client is not None and self._may_retry(verdict):
            self._again(verdict)
            return
        if isinstance(verdict, Again):
            self._give_up(STATUS[kind], kind, detail, unknown=False, abort=False)
        else:
            self._give_up(verdict.status, kind, detail, unknown=verdict.unknown, abort=verdict.abort)

    def _may_retry(self, verdict: Again) -> bool:
        return not verdict.budgeted or self.services.withdraw_retry()

    def _fallback_available(self) -> bool:
        endpoint = self.endpoint
        return (
            self.backend == ASYNC
            and endpoint is not None
            and endpoint.fallback == LEGACY
            and not self._fallback_used
        )

    def _again(self, verdict: Again) -> None:
        self.services.count_retry(self.endpoint, verdict.why)
        if verdict.budgeted:  # the fresh try after a stale connection comes on top
            self._retries += 1
        if verdict.on_fallback:
            self.backend = LEGACY
            self.reason = "fallback"
            self._fallback_used = True
            self._attempts = 0
            self._fresh = False  # the other backend's connections are as good as ever
            self.tried = ()
        if verdict.budgeted:
            delay = backoff(self.snapshot.retries, max(1, self._retries), random.random())
            self.services.loop.call_later(delay, self._attempt_after_backoff)
        else:
            self._attempt()

    def _attempt_after_backoff(self) -> None:
        if self._state == IDLE:
            self._attempt()
