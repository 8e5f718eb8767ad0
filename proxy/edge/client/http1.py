"""One client connection: bytes in, one exchange at a time, responses out in order.

Pipelined requests wait as unparsed bytes, of which at most PIPELINE are held; beyond that, and while a body
can not be passed on, the socket is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.core.forwarding import replies
from proxy.core.forwarding.forwarded import canonical, is_trusted
from proxy.core.forwarding.hop_by_hop import Hop
from proxy.core.forwarding.protected import unprotected
from proxy.core.http1.body import BodyReader
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.partial import PartialHead
from proxy.core.http1.request import RequestFields, RequestHead, check_partial, parse_request
from proxy.core.routing.decide import Context, Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.edge.client.leaving import Leaving
from proxy.edge.client.routing import decided, diverted, why_nowhere
from proxy.edge.client.states import ANSWERING, BODY, CLOSED, HEAD, IDLE, LINGERING
from proxy.edge.client.transport import Connection
from proxy.edge.client.tunnel import Tunnel
from proxy.edge.deadlines import NEVER
from proxy.edge.exchange.exchange import Exchange
from proxy.edge.exchange.key_policy import apply_key_policy
from proxy.edge.exchange.outbound import Outbound
from proxy.edge.ports import UpstreamPort
from proxy.edge.services import Services

_cut_empty_lines: Final = re.compile(rb"\A(?:\r\n)++").sub

PIPELINE: Final = 64 * 1024


class ClientConnection(Connection):
    """An asyncio protocol by its methods, not by inheritance: a compiled class has no interpreted base."""

    __slots__ = (
        "_body",
        "_buffer",
        "_context",
        "_eof",
        "_fields",
        "_parsing",
        "_partial",
        "exchange",
        "outbound",
    )

    def __init__(self, services: Services, peer: str) -> None:
        """`peer` is the client's numeric address."""
        if ":" in peer:  # a socket for IPv6 gives those of IPv4 clients in IPv6, and zones
            peer = canonical(peer) or peer
        super().__init__(services, peer)
        trusted = is_trusted(peer, services.trusted)
        self._context = Context(peer, services.random, trusted)
        self.outbound = Outbound(Hop(peer.encode("ascii"), trusted))
        self.exchange: Exchange | None = None
        self._buffer = b""
        self._partial: PartialHead | None = None  # of which `_buffer` is the beginning
        self._body: BodyReader | None = None
        self._fields: RequestFields | None = None
        self._parsing = False
        self._eof = False  # the client has half-closed: what it has sent is all there will be

    # called by the event loop

    def data_received(self, data: bytes) -> None:
        state, exchange = self.state, self.exchange
        if state == IDLE:
            self._buffer = self._buffer + data if self._buffer else data
            self._next_request()
        elif state == BODY and exchange is not None and self._body is not None:
            self._on_body(exchange, self._body, data)
        elif state == HEAD and self._partial is not None:
            self._more_of_head(self._partial, data)
        elif state == ANSWERING:
            self._buffer += data
            if len(self._buffer) > PIPELINE:
                self._pause()
        elif state == LINGERING:
            self._discard(len(data))

    def eof_received(self) -> bool:
        """A half-closed client still gets its answers, unless it stopped in the middle of a request."""
        exchange = self.exchange
        abort = self.services.snapshot.server.abort_on_eof
        if exchange is None or self.state == BODY or abort is True:
            self._close()
        else:
            self._eof = True
            if not self._buffer:
                exchange.keep_alive = False
            if abort == "safe":
                Leaving(self, self.under_way, self.give_up)
        return True

    def under_way(self) -> Exchange | None:
        """The request that is being answered."""
        return self.exchange

    def give_up(self, exchange: Exchange) -> None:
        """Nobody seems to wait for this answer; whoever does must not take what came of it for the whole."""
        if exchange.answer is None:
            self._close()
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state != CLOSED:
            self.turn(CLOSED)
        self.deadline = NEVER
        self.leave()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_client_gone()

    def pause_writing(self) -> None:
        self._writable = False
        self._time_unsent()
        if self.exchange is not None:
            self.exchange.on_client_writable(False)

    def resume_writing(self) -> None:
        self._writable = True
        self.deadline = NEVER if self.exchange is not None else self._idle_deadline()
        if self.exchange is not None:
            self.exchange.on_client_writable(True)
        else:
            self._next_request()

    def on_deadline(self, now: float) -> None:
        exchange = self.exchange
        timeouts = self.services.snapshot.server.timeouts
        if not self._writable or self.transport.is_closing():
            self._on_unsent(now)
        elif exchange is not None:
            slow = self._slow_body(now)
            if slow is not None:
                exchange.refuse(408, *slow)
        elif self._buffer:
            self._refuse(Malformed(408, "header_timeout", f"the head took over {timeouts.header:g} s"))
        else:
            self._close()

    # requests

    def _next_request(self) -> None:
        """Take requests off the buffer until one is under way or more bytes are needed."""
        if self._parsing:
            return
        self._parsing = True
        try:
            while self._buffer and self.state == IDLE and not self._ended() and self._writable:
                if not self._take_request():
                    break
        finally:
            self._parsing = False
        self._resume_pipeline()
        if self._eof and self._writable and self.state != ANSWERING:
            self._close()  # what is left will never be a whole request

    def _more_of_head(self, partial: PartialHead, data: bytes) -> None:
        try:
            whole = partial.add(data, self.services.snapshot.server.limits)
        except Malformed as error:
            self._refuse(error)
            return
        if whole is not None:
            self._partial = None
            self._buffer = whole
            self.turn(IDLE)
            self._next_request()

    def _take_request(self) -> bool:
        data = self._buffer
        services = self.services
        snapshot = services.snapshot
        limits = snapshot.server.limits
        if data[0] == 0x0D:  # RFC 9112 section 2.2
            data = self._buffer = _cut_empty_lines(b"", data)
            if data in (b"", b"\r"):
                return False
        end = data.find(b"\r\n\r\n", 0, limits.header_bytes)
        try:
            if end < 0:
                check_partial(data, limits)
                self._partial = PartialHead(data)
                self.turn(HEAD)
                if self.deadline > (until := services.loop.time() + snapshot.server.timeouts.header):
                    self.deadline = until
                return False
            head = parse_request(data[: end + 4], limits, self._fields)
        except Malformed as error:
            self._refuse(error)
            return False
        if self._fields is None:
            services.crowd.spoke(self)
        self._fields = head.fields
        self._buffer = data[end + 4 :]
        self._start(snapshot, head)
        return True

    def _start(self, snapshot: Snapshot, head: RequestHead) -> None:
        services = self.services
        fields = head.fields
        limit = snapshot.server.limits.body_bytes
        decision = decided(services, snapshot, head, self._context)
        if decision.backend is None:
            self._answer_here(head, decision)
            return
        if 0 < limit < fields.content_length:
            self._refuse(Malformed(413, "body_too_large", f"the body is over {limit} bytes"), head)
            return
        decision = diverted(services, decision)
        endpoint, backend = decision.endpoint, decision.backend
        assert backend is not None
        exchange = Exchange(self, self.outbound, services, snapshot, head, decision, backend)
        if endpoint is not None and endpoint.idempotency != "off":
            apply_key_policy(exchange)
        self.exchange = exchange
        if not fields.chunked and not fields.content_length:
            self.turn(ANSWERING)
            self.deadline = NEVER
            exchange.begin(False)
        else:
            self.turn(BODY)
            self._start_body(exchange, fields, limit)

    def _start_body(self, exchange: Exchange, fields: RequestFields, limit: int) -> None:
        self._resume()  # the exchange decides from now on whether more is read
        body = self._body = BodyReader(fields.content_length, fields.chunked, limit)
        self._begin_window(self.services.loop.time())
        if fields.expect_continue and not self._buffer and exchange.expect():
            return
        exchange.begin(True)
        rest, self._buffer = self._buffer, b""
        if rest:
            self._on_body(exchange, body, rest)
        elif fields.expect_continue:
            self.write(replies.CONTINUE)

    def _on_body(self, exchange: Exchange, body: BodyReader, data: bytes) -> None:
        try:
            piece = body.feed(data)
        except Malformed as error:
            exchange.refuse(error.status, error.kind, error.detail)
            return
        complete = body.done
        if complete:
            self.turn(ANSWERING)
            self._body = None
            self._buffer = body.rest
            if len(self._buffer) > PIPELINE:
                self._pause()
            if body.trailers:
                exchange.on_request_trailers(unprotected(body.trailers, exchange.snapshot.protected))
            if self._writable:
                self.deadline = NEVER
        else:
            self._time_body(len(data))
        if piece or complete:
            exchange.on_request_body(piece, complete)

    # called by the exchange

    def send(self, exchange: object, data: bytes) -> None:
        if self.exchange is exchange:
            self.write(data)
        else:
            self._violated(exchange)

    def _violated(self, exchange: object) -> None:
        """Another's answer must not reach this client; nor can it tell what is missing."""
        self.services.counters.violated("foreign_answer", repr(exchange))
        self.abort()

    def reply(
        self,
        exchange: object,
        status: int,
        source: replies.Source,
        kind: str,
        detail: str,
        retry_after: int | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        mine = self.exchange
        if mine is None or mine is not exchange:
            self._violated(exchange)
            return
        if self.state == BODY:
            mine.keep_alive = False
        close = not mine.keep_alive or self.services.draining
        mine.keep_alive = not close
        if mine.trace is not None:
            members = {**(members or {}), "trace_id": mine.trace.id}
        self.write(
            replies.problem(
                status,
                source,
                kind,
                detail,
                head=mine.head,
                close=close,
                retry_after=retry_after,
                members=members,
            )
        )

    def on_exchange_end(self, exchange: object) -> None:
        mine = self.exchange
        if mine is None or mine is not exchange:
            self._violated(exchange)
            return
        self.exchange = None
        if self.state == BODY:  # the rest of it is of no use any more
            self._body = None
            self._linger()
            return
        if self.state == ANSWERING:
            self.turn(IDLE)
        if not mine.keep_alive:
            self._close()
            return
        self.deadline = self._idle_deadline()
        if self._buffer:
            self._next_request()
        elif self._eof or (self.services.draining and not self.services.patient):
            self._close()
        self._resume_pipeline()

    def _resume_pipeline(self) -> None:
        """Reads on once little waits, or no whole request: else each request would let in another read."""
        if self._paused and self.state != BODY and not self._parsing:
            if self.exchange is not None and len(self._buffer) > PIPELINE:
                return
            self._resume()

    def switch(self, exchange: object, data: bytes, upstream: UpstreamPort) -> None:
        if self.exchange is not exchange:
            upstream.abort()
            self._violated(exchange)
            return
        self.transport.write(data)
        if self._buffer:
            upstream.transport.write(self._buffer)
            self._buffer = b""
        self.exchange = None
        self.turn(CLOSED)
        self.leave()
        Tunnel(self.services, self.transport, upstream)

    def pause_body(self) -> None:
        self._pause()
        if self._writable:
            self.deadline = NEVER

    def resume_body(self) -> None:
        if self.state == BODY:
            self._begin_window(self.services.loop.time())
            self._resume()
        else:
            self._resume_pipeline()

    def close_if_idle(self) -> None:
        """Draining: connections without a request under way go at once."""
        if self.state == IDLE and not self._buffer:
            self._close()

    # endings

    def _answer_here(self, head: RequestHead, decision: Decision) -> None:
        error = why_nowhere(decision)
        fields = head.fields
        if fields.chunked or fields.content_length or not fields.keep_alive or self.services.draining:
            self._refuse(error, head)
            return
        self.services.observers.observe_refusal(decision.reason, error)
        self.write(replies.problem(error.status, "client", error.kind, error.detail, head=head))
        self.deadline = self._idle_deadline()

    def _refuse(self, error: Malformed, head: RequestHead | None = None) -> None:
        """Answer and end the connection: what follows can not be trusted to be a request."""
        self.services.observers.observe_refusal("refused", error)
        self.write(replies.problem(error.status, "client", error.kind, error.detail, head=head, close=True))
        self._linger()

    def _linger(self) -> None:
        self._buffer = b""
        self._partial = None
        super()._linger()
