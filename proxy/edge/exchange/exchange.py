"""One request and its response: buffers the body, sends it, relays what comes back.

No task, future or timer belongs to an exchange that goes well; everything is a callback from the client's
connection, the pool or the upstream's connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.core.forwarding.hop_by_hop import Hop, request_head, response_block
from proxy.core.http1.body import hold
from proxy.core.http1.chunked import encode
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import FailureKind
from proxy.core.routing.decide import Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, SAFE_METHODS, BackendName
from proxy.edge.exchange import compression, upgrade
from proxy.edge.exchange.attempts import ANSWERED, ENDED, RETRY_AFTER, SENT, SETTLING, WAITING, Attempts
from proxy.edge.exchange.expectation import LINE, Expectation

if TYPE_CHECKING:
    from proxy.edge.client.http1 import ClientConnection
    from proxy.edge.observe.tracing import Trace
    from proxy.edge.services import Services
    from proxy.edge.upstream.connection import UpstreamConnection

MAX_CAPTURED = 64 * 1024  # bytes of an answer


class Exchange(Attempts):
    """Created when a request head is complete; ends with exactly one call of `Services.observe`."""

    __slots__ = (
        "_body",
        "_buffered",
        "_buffers",
        "_coding",
        "_encode_request",
        "_encode_response",
        "_outbound",
        "captured",
        "expectation",
        "head",
        "idle_timeout",
        "keep_alive",
        "method",
        "request_trailers",
        "response_timeout",
        "started",
        "status",
        "trace",
        "upgrade",
    )

    def __init__(
        self,
        client: ClientConnection,
        services: Services,
        snapshot: Snapshot,
        head: RequestHead,
        decision: Decision,
        backend: BackendName,
    ) -> None:
        endpoint = decision.endpoint
        safe = head.method in SAFE_METHODS if endpoint is None else endpoint.safe
        super().__init__(client, services, snapshot, endpoint, backend, decision.reason, safe)
        self.head = head
        self.method = head.method
        self.upgrade = head.fields.upgrade
        self.keep_alive = head.fields.keep_alive
        self.started = time.perf_counter()  # the loop's own clock has milliseconds only
        self.status = 0  # what the client got; 0 while and if it got nothing whole
        self.response_timeout: float | None = None
        self.idle_timeout: float | None = None
        self.captured: bytearray | None = None  # the answer's body, for a comparison with a dry run
        self._buffers = snapshot.buffers
        if endpoint is not None:
            self.response_timeout = endpoint.response_timeout
            self.idle_timeout = endpoint.idle_timeout
            self._buffers = endpoint.buffers
            if endpoint.compare.dry_run:
                self.captured = bytearray()
        self._outbound = client.outbound
        self._body: list[bytes] = []
        self._buffered = 0
        self._encode_request = False
        self.expectation: Expectation | None = None
        self.request_trailers: Pairs | None = None
        self._encode_response = False
        self._coding: compression.Body | None = None
        self.trace: Trace | None = None
        if services.tracer is not None:
            self.trace = services.tracer.begin(self)

    @property
    def peer(self) -> str:
        """Address of the client's end of its connection, also when it is gone."""
        return self._outbound.hop.peer.decode("ascii")

    @property
    def hop(self) -> Hop:
        return self._outbound.hop

    def request_body(self) -> bytes | None:
        """None if it is not held: it was streamed, or did not come to its end."""
        return b"".join(self._body) if self._body_complete and not self._streaming else None

    # the request, from the client's connection

    def begin(self, has_body: bool) -> None:
        """The head is in. With a body, the first attempt waits until enough of it is buffered."""
        if self.upgrade is not None and not upgrade.has_room(self.services.pools[self.backend]):
            self._body_complete = not has_body
            self._no_tunnel()
        elif has_body:
            self._body_complete = False
        else:
            self._attempt()

    def expect(self) -> bool:
        """In place of `begin` for a client that waits: whether the backend is asked if it wants the body."""
        if self._buffers.request or self.upgrade is not None:
            return False
        self.expectation = Expectation(self)
        self._body_complete = False
        self._pause_client()
        self._attempt()
        return True

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """The next piece of the body, already decoded."""
        self._body_complete = complete
        if self.upstream is not None:
            self._stream(data, complete)
            return
        if data:
            hold(self._body, data)
            self._buffered += len(data)
        if self._attempts:
            return  # connecting, or between two attempts: what is held goes out with the head
        if complete:
            self._attempt()
        elif self._buffered > self._buffers.request:
            self._pause_client()
            self._attempt()

    def on_client_gone(self) -> None:
        """The client disconnected. Safe work is cancelled; a write that may have begun is finished."""
        self.client = None
        if self._state >= SETTLING:
            return
        if not self.safe and self._sent():
            if self._body_complete:
                if self.upstream is not None:  # it may have waited for the client to read
                    self.upstream.go_on()
                    self.upstream.resume()
                return
            self.services.count_unknown(self.endpoint)
        self._drop_upstream()
        self._end()

    def on_client_writable(self, writable: bool) -> None:
        """The client's connection is full beyond `buffers.response`, or has room again."""
        if self.upstream is not None and self._answer is not None:
            if writable:
                self.upstream.resume()
            else:
                self.upstream.pause()
            self._look_who_waits(self.upstream)

    def _look_who_waits(self, upstream: UpstreamConnection) -> None:
        """For the client: bytes of the request that it has to send, or of the answer that it has to take."""
        client = self.client
        untaken = self._answer is not None and client is not None and not client.is_writable()
        if untaken or not (self._body_complete or upstream.full):
            upstream.stall()
        else:
            upstream.go_on()

    def give_way(self) -> None:
        """Others wait for the connection that this client holds up."""
        if self.client is not None:
            self.refuse(408, "slow_client", "it was too slow while others waited for a connection")

    # an attempt

    def on_connection(self, connection: UpstreamConnection) -> None:
        if self._state != WAITING or connection.exchange is not None:
            self._violated("connection_unasked")
            connection.connection_lost(None)
            self.on_failure("connect_failed", "the connection is in use")
            return
        self.upstream = connection
        self._state = SENT
        data = self._request_head()
        body = self._body
        if body:
            data += self._encoded_request(b"".join(body), self._body_complete)
            if not self._body_complete:
                self._streaming = True
                self._body = []
        goes_on = not self._body_complete and self.expectation is None
        if goes_on:
            self._resume_client()
        connection.start(self, data, self._body_complete)
        if goes_on:
            self._look_who_waits(connection)
        elif self.expectation is not None:
            self.expectation.asked()

    def _request_head(self) -> bytes:
        fields = self.head.fields
        snapshot = self.snapshot
        block = self._outbound.block(self.head, snapshot.backend(self.backend).host, snapshot.protected)
        if self.trace is not None:
            block = self.trace.attempt(self, block)
        added = b""
        if self.upgrade is not None:
            added = b"connection: upgrade\r\nupgrade: %b\r\n" % self.upgrade
        elif fields.chunked:
            self._encode_request = not self._body_complete
            length = b"content-length: %d\r\n" % self._buffered
            added = b"transfer-encoding: chunked\r\n" if self._encode_request else length
        if self.expectation is not None:
            added += LINE
        own_id = b"" if b"x-request-id" in fields.special else self.services.request_id()
        return request_head(self.head, block, added, own_id)

    def _encoded_request(self, data: bytes, complete: bool) -> bytes:
        """A body that was buffered whole goes with its length, and has no place for trailers."""
        return encode(data, complete, self.request_trailers or []) if self._encode_request else data

    def _stream(self, data: bytes, complete: bool) -> None:
        connection = self.upstream
        if connection is not None and not connection.closed:
            self._streaming = True
            connection.write(self._encoded_request(data, complete), complete)
            if complete:
                self._look_who_waits(connection)

    def on_upstream_writable(self, writable: bool) -> None:
        if writable:
            self._resume_client()
        else:
            self._pause_client()
        if self.upstream is not None:
            self._look_who_waits(self.upstream)

    # the response, from the upstream's connection

    def on_informational(self, response: ResponseHead) -> None:
        if self._state != SENT:
            self._violated("answer_unasked")
        elif response.status == 100:  # of no use to who did not ask for it
            if self.expectation is not None:
                self.expectation.met()
        elif self.client is not None and self.head.fields.minor == 1:
            self.client.send(self, response_block(response, None) + b"\r\n")

    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None:
        """101: from here on the two connections are one tunnel, and `rest` is its first bytes."""
        if self._state != SENT:
            self._violated("answer_unasked")
        elif upgrade.switch(self, response, rest):
            self.status = response.status
            self.client = self.upstream = None
            self._end()
        else:
            self._drop_upstream()
            self._no_tunnel()

    def _no_tunnel(self) -> None:
        upgrade.refuse(self)
        self._end()

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        if self._state != SENT:
            self._violated("answer_unasked")
            return
        self._state = ANSWERED
        self._answer = response
        if self.backend == ASYNC:
            self.services.record_answer(self.endpoint, response.status)
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None  # it is in the pool again
        client = self.client
        if client is not None:
            self._relayed = True
            client.send(self, self._answer_begun(response, data, complete, []))
        if complete:
            self._complete(response.status)

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        if self._state != ANSWERED:
            self._violated("answer_unasked")
            return
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None
        if self.client is not None:
            self.client.send(self, self._encoded_response(data, complete, trailers))
        if complete and self._answer is not None:
            self._complete(self._answer.status)

    def _answer_begun(self, response: ResponseHead, data: bytes, complete: bool, trailers: Pairs) -> bytes:
        """The head, and what there is of the body, as the client gets them."""
        if self.endpoint is not None and self.endpoint.compression:
            response, data, self._coding = compression.begin(
                self.snapshot.compression, self.head, response, data, complete
            )
        head = self._response_head(response)
        return head + (encode(data, complete, trailers) if self._encode_response else data)

    def _capture(self, data: bytes) -> None:
        if self.captured is not None:
            self.captured += data
            if len(self.captured) > MAX_CAPTURED:
                self.captured = None

    def _response_head(self, response: ResponseHead) -> bytes:
        if not self._body_complete or self.services.draining:
            self.keep_alive = False  # an early answer: what is left of the request is not a new one
        minor = self.head.fields.minor
        framing = b""
        if response.length < 0:  # CHUNKED or UNTIL_CLOSE
            if minor == 1:
                self._encode_response = True
                framing = b"transfer-encoding: chunked\r\n"
            else:
                self.keep_alive = False
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif minor == 0:
            framing += b"connection: keep-alive\r\n"
        return response_block(response, self.served_by()) + framing + b"\r\n"

    def served_by(self) -> BackendName | None:
        return self.backend if self.snapshot.server.expose_backend else None

    def _encoded_response(self, data: bytes, complete: bool, trailers: Pairs) -> bytes:
        if self._coding is not None:
            data = self._coding.feed(data, complete)
        return encode(data, complete, trailers) if self._encode_response else data

    def _complete(self, status: int) -> None:
        self.status = status
        self._end()

    # failures

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        if self.trace is not None and self._state < SETTLING:
            self.trace.failed(self, kind)
        super().on_failure(kind, detail)

    def _give_up(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        if unknown:
            self.services.count_unknown(self.endpoint)
            detail += "; the request may or may not have been executed"
        self.services.count_error("upstream", kind)
        client = self.client
        if client is not None and abort:
            client.abort()  # first, or the next pipelined request would be begun
            self._end()
            return
        if client is not None:
            self.status = status
            retry_after = RETRY_AFTER if status == 503 else None
            client.reply(self, status, "upstream", kind, detail, retry_after=retry_after)
        self._end()

    # endings

    def refuse(self, status: int, kind: str, detail: str) -> None:
        """The client broke the rules in the middle of its body: nothing more is taken from it."""
        self.services.count_error("client", kind)
        if not self.safe and self._sent():
            self.services.count_unknown(self.endpoint)
        self._drop_upstream()
        client = self.client
        if client is not None and not self._relayed:
            self.status = status
            client.reply(self, status, "client", kind, detail)
            self._end()
        elif client is not None:
            client.abort()
            self._end()

    def _end(self) -> None:
        """From here on nothing can be sent, and nothing be written to the client."""
        if self._state == ENDED:
            self._violated("ended_twice")
            return
        self._leave_pool()
        self._state = ENDED
        client, self.client = self.client, None
        self.services.observe(self)
        self._body = []
        if client is not None:
            client.on_exchange_end(self)
