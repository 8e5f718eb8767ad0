"""The sending side of an exchange: buffers the body, sends it on the connection of each attempt, and records
who waits for whom.

`exchange.py` relays what comes back.
"""

from __future__ import annotations

import time

from proxy.core.forwarding import replies
from proxy.core.forwarding.hop_by_hop import request_head
from proxy.core.http1.body import hold
from proxy.core.http1.chunked import encode
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.resilience.retry import Again
from proxy.core.routing.decide import Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import SAFE_METHODS, BackendName
from proxy.edge.exchange import upgrade
from proxy.edge.exchange.attempts import Attempts
from proxy.edge.exchange.expectation import LINE, Expectation
from proxy.edge.exchange.outbound import Outbound
from proxy.edge.exchange.owner import Owner
from proxy.edge.exchange.states import IDLE, SENT, WAITING
from proxy.edge.observe.tracing import Trace
from proxy.edge.ports import ClientPort, UpstreamPort
from proxy.edge.services import Services


class Sending(Attempts):
    """The half of an exchange that is about the request."""

    __slots__ = (
        "body",
        "buffered",
        "buffers",
        "encode_request",
        "expectation",
        "head",
        "outbound",
        "owner",
        "request_trailers",
        "started",
        "trace",
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
        endpoint = decision.endpoint
        safe = head.method in SAFE_METHODS if endpoint is None else endpoint.safe
        super().__init__(client, services, snapshot, head.method, endpoint, backend, decision.reason, safe)
        self.head = head
        self.upgrade = head.fields.upgrade
        self.started = time.perf_counter()  # the loop's own clock has milliseconds only
        self.outbound = outbound
        self.owner: Owner | None = None  # of the key, if this is a write with one
        self.buffers = snapshot.buffers
        if endpoint is not None:
            self.response_timeout = endpoint.response_timeout
            self.idle_timeout = endpoint.idle_timeout
            self.buffers = endpoint.buffers
        self.body: list[bytes] = []
        self.buffered = 0  # bytes of it that came in before it was streamed
        self.encode_request = False
        self.expectation: Expectation | None = None
        self.request_trailers: Pairs | None = None
        self.trace: Trace | None = None
        if (tracer := services.observers.tracer) is not None:
            self.trace = tracer.begin(head, endpoint, self.peer)

    @property
    def peer(self) -> str:
        """Address of the client's end of its connection, also when it is gone."""
        return self.outbound.hop.peer.decode("ascii")

    def refuse(self, status: int, kind: str, detail: str) -> None:
        """The client broke the rules in the middle of its body: nothing more is taken from it."""
        raise NotImplementedError

    def no_tunnel(self) -> None:
        """There is no room for another tunnel."""
        raise NotImplementedError

    # from the client's connection

    def begin(self, has_body: bool) -> None:
        """The head is in. With a body, the first attempt waits until enough of it is buffered."""
        if self.owner is not None:
            self.owner.begin(has_body)
        elif self.upgrade is not None and not self.services.pools[self.backend].has_tunnel():
            self.body_complete = not has_body
            self.no_tunnel()
        elif has_body:
            self.body_complete = False
        else:
            self.attempt()

    def expect(self) -> bool:
        """In place of `begin` for a client that waits: whether the backend is asked if it wants the body."""
        if self.owner is not None or self.buffers.request or self.upgrade is not None:
            return False
        self.expectation = Expectation(self.services.loop, self._on_expectation_met)
        self.body_complete = False
        self.pause_client()
        self.attempt()
        return True

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """The next piece of the body, already decoded."""
        if self.owner is not None:
            self.owner.on_request_body(data, complete)
            return
        self.body_complete = complete
        if self.upstream is not None:
            self._stream(data, complete)
            return
        self.hold_body(data)
        if not self.asked:
            self.send_when_ready()  # else connecting, or between two attempts: it goes out with the head

    def hold_body(self, data: bytes) -> None:
        """Until it is sent."""
        if data:
            hold(self.body, data)
            self.buffered += len(data)

    def send_when_ready(self) -> None:
        """Begins the first attempt, if enough of the body is here."""
        if self.body_complete:
            self.attempt()
        elif self.buffered > self.buffers.request:
            self.pause_client()
            self.attempt()

    def held_body(self) -> list[bytes] | None:
        """None if it is not held: it was streamed, or did not come to its end."""
        return self.body if self.body_complete and not self.streaming else None

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

    def on_connection(self, connection: UpstreamPort) -> None:
        owner = self.owner
        if owner is not None and owner.confirms(connection):
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
        data = self._request_head()
        body = self.body
        if body:
            data += self._encoded_request(b"".join(body), self.body_complete)
            if not self.body_complete:
                self.streaming = True
                self.body = []
        goes_on = not self.body_complete and self.expectation is None
        if goes_on:
            self.resume_client()
        connection.start(self, data, self.body_complete)
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
        elif fields.chunked:
            self.encode_request = not self.body_complete
            length = b"content-length: %d\r\n" % self.buffered
            added = b"transfer-encoding: chunked\r\n" if self.encode_request else length
        if self.expectation is not None:
            added += LINE
        own_id = b"" if b"x-request-id" in fields.special else self.services.request_id()
        return request_head(self.head, block, added, own_id)

    def _encoded_request(self, data: bytes, complete: bool) -> bytes:
        """A body that was buffered whole goes with its length, and has no place for trailers."""
        return encode(data, complete, self.request_trailers or []) if self.encode_request else data

    def _stream(self, data: bytes, complete: bool) -> None:
        connection = self.upstream
        if connection is not None and not connection.closed:
            self.streaming = True
            connection.write(self._encoded_request(data, complete), complete)
            if complete:
                self.look_who_waits(connection)

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

    # what the owner of a key has to say about another attempt

    def _fallback_available(self) -> bool:
        return super()._fallback_available() and (self.owner is None or self.owner.may_fall_back())

    def again(self, verdict: Again) -> None:
        if self.owner is None or not self.owner.moves(verdict):
            self.try_again(verdict)
