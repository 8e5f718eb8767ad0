"""The sending side of an exchange: finds an upstream for each attempt, sends the request, and records who
waits for whom.

`exchange.py` relays what comes back, and decides what follows a failure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from proxy.core.forwarding import replies
from proxy.core.forwarding.hop_by_hop import request_head
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import Attempt, is_stale
from proxy.core.routing.decide import Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import SAFE_METHODS, BackendName, Endpoint
from proxy.edge import turns
from proxy.edge.deadlines import NEVER
from proxy.edge.exchange import compression, upgrade
from proxy.edge.exchange.attempts import Attempts
from proxy.edge.exchange.body import RequestBody
from proxy.edge.exchange.expectation import LINE, Expectation
from proxy.edge.exchange.key_port import KeyPort
from proxy.edge.exchange.outbound import Outbound
from proxy.edge.exchange.states import ANSWERED, IDLE, SENT, STATES, TRANSITIONS, WAITING
from proxy.edge.observe.tracing import Trace
from proxy.edge.observe.units import RequestTrial
from proxy.edge.ports import ClientPort, Receiver, UpstreamPort
from proxy.edge.services import Services
from proxy.edge.upstream.pool import Pool


class Sending(Receiver):
    """An exchange without its answer. `backend` and `reason` follow the attempts: a fallback changes them.

    The one constructor of an exchange is here. This is a base class, not a part of the exchange, because both
    work on one state: a part would be one more object for each request, and every call would go through it.
    What only some requests need is a part, and made when it is needed: `body`, `attempts`, `key`, `trace`,
    `trial`.
    """

    __slots__ = (
        "_pool",
        "answer",
        "asked",
        "attempts",
        "backend",
        "body",
        "buffers",
        "captured",
        "client",
        "coding",
        "credited",
        "encode_response",
        "endpoint",
        "expectation",
        "head",
        "keep_alive",
        "key",
        "outbound",
        "reason",
        "refused_itself",
        "relayed",
        "safe",
        "services",
        "snapshot",
        "started",
        "state",
        "status",
        "trace",
        "trial",
        "upstream",
    )

    def __init__(
        self,
        client: ClientPort,
        outbound: Outbound,
        services: Services,
        snapshot: Snapshot,
        head: RequestHead,
        decision: Decision,
        backend: BackendName,
    ) -> None:
        super().__init__(head.method)
        endpoint = decision.endpoint
        self.client: ClientPort | None = client
        self.outbound = outbound
        self.services = services
        self.snapshot = snapshot  # one snapshot from start to end, whatever is reloaded meanwhile
        self.head = head
        self.endpoint = endpoint
        self.backend = backend
        self.reason = decision.reason
        self.state = IDLE
        self.started = time.perf_counter()  # the loop's own clock has milliseconds only
        self.upgrade = head.fields.upgrade
        self.body: RequestBody | None = None
        self.expectation: Expectation | None = None
        self.key: KeyPort | None = None  # of the key, if this is a write with one
        self._pool: Pool | None = None
        self.upstream: UpstreamPort | None = None
        self.asked = False  # whether any backend was
        self.attempts: Attempts | None = None
        self.answer: ResponseHead | None = None  # of the last attempt, if it was answered
        self.credited = False  # this answer has counted as one, though its end has not come
        self.relayed = False  # a byte of an answer went to the client
        self.encode_response = False
        self.coding: compression.EncodedBody | None = None
        self.captured: bytearray | None = None  # the answer's body, for a comparison with a dry run
        self.keep_alive = head.fields.keep_alive
        self.status = 0  # what the client got; 0 while and if it got nothing whole
        self.trial: RequestTrial | None = None  # of a rollout, until the first attempt has failed
        self.refused_itself = False  # with a status that says nothing about the backend
        self.safe = head.method in SAFE_METHODS if endpoint is None else endpoint.safe
        self.buffers = snapshot.buffers if endpoint is None else endpoint.buffers
        if endpoint is not None:
            self._take_settings(endpoint, decision)
        tracer = services.observers.tracer
        self.trace: Trace | None = None if tracer is None else tracer.begin(head, endpoint, self.peer)

    def _take_settings(self, endpoint: Endpoint, decision: Decision) -> None:
        self.response_timeout = endpoint.response_timeout
        self.idle_timeout = endpoint.idle_timeout
        if endpoint.compare.dry_run:
            self.captured = bytearray()
        if endpoint.plan is not None and self.upgrade is None:
            self.trial = self.services.trials.begin(endpoint, decision)

    def __repr__(self) -> str:
        name = "unlisted" if self.endpoint is None else self.endpoint.name
        return f"<{type(self).__name__} {name} to {self.backend}: {STATES[self.state]}>"

    def turn(self, state: int) -> None:
        """The one place where the state changes."""
        if self.services.debug:
            turns.tell(self, STATES, TRANSITIONS, self.state, state)
        self.state = state

    @property
    def peer(self) -> str:
        """Address of the client's end of its connection, also when it is gone."""
        return self.outbound.hop.peer.decode("ascii")

    @property
    def body_complete(self) -> bool:
        """Whether nothing more of the request is to come."""
        return self.body is None or self.body.complete

    def is_open(self) -> bool:
        """Whether bytes of the request may have left, and its outcome is open."""
        return self.state == SENT or self.state == ANSWERED

    def refuse(self, status: int, kind: str, detail: str) -> None:
        """The client broke the rules in the middle of its body: nothing more is taken from it."""
        raise NotImplementedError

    def no_tunnel(self) -> None:
        """There is no room for another tunnel."""
        raise NotImplementedError

    # from the client's connection

    def begin(self, has_body: bool) -> None:
        """The head is in. With a body, the first attempt waits until enough of it is buffered."""
        if has_body:
            self.body = RequestBody()
        if self.key is not None:
            self.key.begin(has_body)
        elif self.upgrade is not None and not self.services.pools[self.backend].has_tunnel():
            self.no_tunnel()
        elif not has_body:
            self.attempt()

    def expect(self) -> bool:
        """In place of `begin` for a client that waits: whether the backend is asked if it wants the body."""
        if self.key is not None or self.buffers.request or self.upgrade is not None:
            return False
        self.expectation = Expectation(self.services.loop, self._on_expectation_met)
        self.body = RequestBody()
        self.pause_client()
        self.attempt()
        return True

    def on_request_trailers(self, trailers: Pairs) -> None:
        """They come before the last piece of the body."""
        if self.body is not None:
            self.body.trailers = trailers

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """The next piece of the body, already decoded."""
        body = self.body
        assert body is not None
        body.complete = complete
        if self.key is not None:
            body.hold(data)
            self.key.on_request_body(body)
        elif self.upstream is not None:
            self._stream(body, data)
        else:
            body.hold(data)
            if not self.asked:
                self.send_when_ready()  # else connecting, or between two attempts: it goes out with the head

    def send_when_ready(self) -> None:
        """Begins the first attempt, if enough of the body is here."""
        body = self.body
        if body is None or body.complete:
            self.attempt()
        elif body.size > self.buffers.request:
            self.pause_client()
            self.attempt()

    def held_body(self) -> Sequence[bytes] | None:
        """Its pieces. None if it is not held: it was streamed, or did not come to its end."""
        body = self.body
        if body is None:
            return ()
        return body.pieces if body.complete and not body.streamed else None

    def pause_client(self) -> None:
        """The body has nowhere to go."""
        if self.client is not None:
            self.client.pause_body()

    def resume_client(self) -> None:
        """The body may come."""
        if self.client is not None:
            self.client.resume_body()

    def give_way(self) -> None:
        if self.client is not None:
            self.refuse(408, "slow_client", "this client was too slow while others waited for a connection")

    def look_who_waits(self, upstream: UpstreamPort) -> None:
        """For the client: bytes of the request that it has to send, or of the answer that it has to take."""
        client = self.client
        untaken = self.answer is not None and client is not None and not client.is_writable()
        if untaken or not (self.body_complete or upstream.full):
            upstream.stall()
        else:
            upstream.go_on()

    # an attempt

    def attempt(self) -> None:
        """Another one, at `backend`."""
        self.asked = True
        self.turn(WAITING)
        self.answer = None
        if self.trial is not None:
            self.trial.begin()
        pool = self._pool = self.services.pools[self.backend]
        attempts = self.attempts
        fresh = attempts is not None and attempts.fresh
        connection = pool.acquire(self, write=not self.safe, fresh=fresh, upload=not self.body_complete)
        if connection is not None:
            self.on_connection(connection)

    def made(self) -> Attempts:
        """What is remembered of the attempts, from now on if nothing was."""
        if self.attempts is None:
            self.attempts = Attempts()
        return self.attempts

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

    def on_connection(self, connection: UpstreamPort) -> None:
        key = self.key
        if key is not None and key.confirms(connection):
            self.upstream = connection  # nothing is sent on it yet, and no other one is wanted
            self.turn(IDLE)
        else:
            self.send_on(connection)

    def send_on(self, connection: UpstreamPort) -> None:
        """The head, and what there is of the body."""
        if self.state != WAITING or connection.exchange is not None:
            self.violated("connection_unasked")
            connection.connection_lost(None)
            self.on_failure("connect_failed", "the connection is in use")
            return
        self.upstream = connection
        self.turn(SENT)
        body = self.body
        data = self._request_head()
        if body is not None:
            data += body.begin()
        complete = body is None or body.complete
        goes_on = not complete and self.expectation is None
        if goes_on:
            self.resume_client()
        connection.start(self, data, complete)
        if goes_on:
            self.look_who_waits(connection)
        elif self.expectation is not None:
            self.expectation.asked()

    def _request_head(self) -> bytes:
        fields = self.head.fields
        snapshot = self.snapshot
        block = self.outbound.block(self.head, snapshot.backend(self.backend).host, snapshot.protected)
        if self.trace is not None:
            url = None if self.upstream is None else self.upstream.url
            block = self.trace.attempt(self.method, self.backend, url, block)
        added = b""
        if self.upgrade is not None:
            added = upgrade.asking(self.upgrade)
        elif fields.chunked and self.body is not None:
            added = self.body.framing()
        if self.expectation is not None:
            added += LINE
        own_id = b"" if b"x-request-id" in fields.special else self.services.request_id()
        return request_head(self.head, block, added, own_id)

    def _stream(self, body: RequestBody, data: bytes) -> None:
        connection = self.upstream
        if connection is not None and not connection.closed:
            body.streamed = True
            connection.write(body.encoded(data), body.complete)
            if body.complete:
                self.look_who_waits(connection)
                if self.trial is not None:
                    self.trial.begin()

    def judge(self, failed: Attempt) -> None:
        """The first attempt failed, if this was it. An idle connection's usual end tells nothing."""
        trial = self.trial
        if trial is not None and (failed.read or not is_stale(failed)):
            self.trial = None  # what follows makes up for it
            trial.failed()

    def on_upstream_writable(self, writable: bool) -> None:
        if writable:
            self.resume_client()
        else:
            self.pause_client()
        if self.upstream is not None:
            self.look_who_waits(self.upstream)

    def _on_expectation_met(self) -> None:
        """The body may come: the backend wants it, or does not say."""
        expectation, client, upstream = self.expectation, self.client, self.upstream
        if expectation is None:
            return
        expectation.stop()
        if self.state != SENT or client is None or upstream is None:
            return
        self.expectation = None
        client.send(self, replies.CONTINUE)
        upstream.stall()  # from here on it waits for the client
        client.resume_body()

    def drop_upstream(self) -> None:
        """Whatever is under way on its connection."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def violated(self, what: str) -> None:
        """An event came in a state that it does not belong to: a fault of ours, confined to this client."""
        self.services.counters.violated(what, repr(self))
        self.drop_upstream()
        if self.client is not None:
            self.client.abort()
