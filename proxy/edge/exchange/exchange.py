"""One request and its response: relays what comes back, and ends with exactly one outcome.

An exchange without failures needs no task, future or timer; everything is a callback from the client's
connection, the pool or the upstream's connection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from proxy.core.forwarding.hop_by_hop import response_block
from proxy.core.forwarding.replies import Source
from proxy.core.http1.chunked import encode
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import STATUS, UNSENT, Again, Attempt, FailureKind, after_failure, blames
from proxy.core.settings import ASYNC, LEGACY, BackendName
from proxy.edge.exchange import compression, giving_up, upgrade
from proxy.edge.exchange.sending import Sending
from proxy.edge.exchange.states import ANSWERED, ENDED, IDLE, SENT, SETTLING
from proxy.edge.outcome import Outcome
from proxy.edge.ports import UpstreamPort
from proxy.edge.upstream import hanging

RETRY_AFTER: Final = 1  # seconds suggested to a client that met something full or not ready
MAX_CAPTURED = 64 * 1024  # bytes of an answer
OPEN_OUTCOME: Final = "; the request may or may not have been executed"


class Exchange(Sending):
    """Created when a request head is complete; ends with exactly one `Outcome`."""

    __slots__ = ()

    # from the client's connection

    def on_client_gone(self) -> None:
        """The client disconnected. Safe work is cancelled; a write that may have begun is finished."""
        self.client = None
        if self.key is not None and self.key.outlives_client():
            if self.upstream is not None:
                self.upstream.resume()
            return
        if self.state >= SETTLING:
            return
        if not self.safe and self.is_open():
            if self.body_complete:
                if self.upstream is not None:  # it may have waited for the client to read
                    self.upstream.go_on()
                    self.upstream.resume()
                return
            self.services.counters.count_unknown(self.endpoint)
        giving_up.told(self)
        self.drop_upstream()
        self.end()

    def on_client_writable(self, writable: bool) -> None:
        """The client's connection is full beyond `buffers.response`, or has room again."""
        if self.upstream is None or self.answer is None:
            return
        if self.key is not None and self.key.ignores_client():
            return
        if writable:
            self.upstream.resume()
        else:
            self.upstream.pause()
        self.look_who_waits(self.upstream)

    # the response, from the upstream's connection

    def on_informational(self, response: ResponseHead) -> None:
        if self.state != SENT:
            self.violated("answer_unasked")
        elif response.status == 100:  # of no use to who did not ask for it
            self._on_expectation_met()
        elif self.client is not None and self.head.fields.minor == 1:
            self.client.send(self, response_block(response, None) + b"\r\n")

    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None:
        """101: from here on the two connections are one tunnel, and `rest` is its first bytes."""
        if self.state != SENT:
            self.violated("answer_unasked")
            return
        client, upstream = self.client, self.upstream
        if upstream is None or (client is not None and not upstream.switch()):
            self.drop_upstream()
            self.no_tunnel()
            return
        if client is None:
            upstream.abort()
        else:
            client.switch(self, upgrade.switching(response, self.served_by()) + rest, upstream)
        self.status = response.status
        self.client = self.upstream = None
        self.end()

    def no_tunnel(self) -> None:
        self.services.counters.count_error("upstream", "no_tunnel")
        if self.client is not None:
            self.status = 503
            detail = upgrade.no_room(self.backend)
            self.client.reply(self, 503, "upstream", "no_tunnel", detail, retry_after=RETRY_AFTER)
        self.end()

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        if self.state != SENT:
            self.violated("answer_unasked")
            return
        self.turn(ANSWERED)
        self.answer = response
        if self.trial is not None:
            self.trial.answered(response)
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None  # it is in the pool again
        if self.key is not None and self.key.holds(data, complete, []):
            return
        if complete and self.backend == ASYNC:
            self.services.breakers.answered(self.endpoint, response.status)
        client = self.client
        if client is not None:
            self.relayed = True
            client.send(self, self.begin_answer(response, data, complete, []))
        if complete:
            self.complete(response.status)

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        if self.state != ANSWERED:
            self.violated("answer_unasked")
            return
        if self.captured is not None:
            self._capture(data)
        upstream = self.upstream
        if complete:
            self.upstream = None
        if self.key is not None and self.key.holds(data, complete, trailers):
            return
        if self.backend == ASYNC and not self.credited:
            self._credit(upstream, complete)
        if self.client is not None:
            self.client.send(self, self.go_on_answer(data, complete, trailers))
        if complete and self.answer is not None:
            self.complete(self.answer.status)

    def _credit(self, upstream: UpstreamPort | None, complete: bool) -> None:
        """An answer counts when it is whole, or if it has no length, when it has flowed for a while."""
        answer = self.answer
        if answer is None or upstream is None:
            return
        if complete or (answer.length < 0 and upstream.flowed >= hanging.STEADY):
            self.credited = True
            self.services.breakers.answered(self.endpoint, answer.status)

    def begin_answer(self, response: ResponseHead, data: bytes, complete: bool, trailers: Pairs) -> bytes:
        """The head, and what there is of the body, as the client gets them."""
        if self.endpoint is not None and self.endpoint.compression:
            response, data, self.coding = compression.begin(
                self.snapshot.compression, self.head, response, data, complete
            )
        head = self._response_head(response)
        return head + (encode(data, complete, trailers) if self.encode_response else data)

    def go_on_answer(self, data: bytes, complete: bool, trailers: Pairs) -> bytes:
        """The next piece of the body, as the client gets it."""
        if self.coding is not None:
            data = self.coding.feed(data, complete)
        return encode(data, complete, trailers) if self.encode_response else data

    def _capture(self, data: bytes) -> None:
        if self.captured is not None:
            self.captured += data
            if len(self.captured) > MAX_CAPTURED:
                self.captured = None

    def _response_head(self, response: ResponseHead) -> bytes:
        if not self.body_complete or self.services.draining:
            self.keep_alive = False  # an early answer: what is left of the request is not a new one
        minor = self.head.fields.minor
        framing = b""
        if response.length < 0:  # CHUNKED or UNTIL_CLOSE
            if minor == 1:
                self.encode_response = True
                framing = b"transfer-encoding: chunked\r\n"
            else:
                self.keep_alive = False
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif minor == 0:
            framing += b"connection: keep-alive\r\n"
        return response_block(response, self.served_by()) + framing + b"\r\n"

    def served_by(self) -> BackendName | None:
        """The backend, if clients may know."""
        return self.backend if self.snapshot.server.expose_backend else None

    # failures

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        """An attempt came to nothing; the failure table says what now."""
        if self.state >= SETTLING:
            return
        if self.trace is not None:
            url = None if self.upstream is None else self.upstream.url
            self.trace.failed(self.method, self.backend, url, kind)
        if self.state == IDLE:
            return
        failed = self._failed(kind)
        self.judge(failed)
        if self.backend == ASYNC and blames(failed) and not self.credited:
            self.services.breakers.failed(self.endpoint, time.perf_counter() - self.started)
        verdict = after_failure(failed)
        if not isinstance(verdict, Again):
            self._give_up(verdict.status, kind, detail, unknown=verdict.unknown, abort=verdict.abort)
        elif self.client is None or not self._may_retry(verdict):
            self._give_up(STATUS[kind], kind, detail, unknown=False, abort=False)
        elif self.key is None or not self.key.moves(verdict):
            self.try_again(verdict)

    def _failed(self, kind: FailureKind) -> Attempt:
        """What is known of the attempt, which is over by that."""
        sent = self.is_open()
        self.turn(IDLE)
        attempts = self.made()
        attempts.fresh = attempts.fresh or sent
        upstream, self.upstream = self.upstream, None
        return Attempt(
            failure=kind,
            safe=self.safe,
            sent=sent and kind not in UNSENT,
            reused=upstream is not None and upstream.used,
            read=upstream is not None and upstream.read,
            answered=upstream is not None and upstream.answered,
            relayed=self.relayed,
            whole=self.held_body() is not None,
            attempts=attempts.here,
            upstreams=len(self.snapshot.backend(self.backend).upstreams),
            fallback=attempts.may_fall_back(self.backend, self.endpoint)
            and (self.key is None or self.key.may_fall_back()),
            retried=attempts.retries > 0,
            stuck=kind == "no_connection" and self._pool is not None and self._pool.is_stuck(),
            spare=kind == "no_connection" and self.services.pools[LEGACY].has_spare(),
        )

    def _may_retry(self, verdict: Again) -> bool:
        services = self.services
        return not verdict.budgeted or services.budget.withdraw(
            services.loop.time(), services.observers.observed
        )

    def try_again(self, verdict: Again) -> None:
        """Another attempt, as the failure table says."""
        self.services.counters.count_retry(self.endpoint, verdict.why)
        attempts = self.made()
        attempts.again(verdict)
        if verdict.on_fallback:
            self.backend = LEGACY
            self.reason = "fallback"
            self.tried = ()
        if verdict.budgeted:
            delay = attempts.delay(self.snapshot.retries)
            self.services.loop.call_later(delay, self._attempt_after_backoff)
        else:
            self.attempt()

    def _attempt_after_backoff(self) -> None:
        if self.state == IDLE:
            self.attempt()

    def _give_up(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        """No attempt is left."""
        if self.key is None or not self.key.settles(status, kind, detail, unknown, abort):
            self.fail(status, kind, detail, unknown=unknown, abort=abort)

    def fail(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        """The client hears that no backend answers this."""
        if unknown:
            self.services.counters.count_unknown(self.endpoint)
            detail += OPEN_OUTCOME
        self.services.counters.count_error("upstream", kind)
        client = self.client
        if client is not None and abort:
            client.abort()  # first, or the next pipelined request would be begun
            self.end()
            return
        if client is not None:
            self.status = status
            retry_after = RETRY_AFTER if status == 503 else None
            client.reply(self, status, "upstream", kind, detail, retry_after=retry_after)
        self.end()

    def refuse(self, status: int, kind: str, detail: str) -> None:
        """Many clients send a request again by themselves after a 408: not if a part of a write has left."""
        if self.key is not None:
            self.key.on_refusal()
        self.services.counters.count_error("client", kind)
        unknown = not self.safe and self.is_open()
        if unknown:
            self.services.counters.count_unknown(self.endpoint)
            detail += OPEN_OUTCOME
            if status == 408:
                status = 502
        self.drop_upstream()
        client = self.client
        if client is not None and not self.relayed:
            self.status = status
            self.refused_itself = unknown and status >= 500
            client.reply(self, status, "client", kind, detail)
            self.end()
        elif client is not None:
            client.abort()
            self.end()

    # endings

    def answer_here(
        self,
        status: int,
        source: Source,
        kind: str,
        detail: str,
        retry_after: int | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        """The proxy's own answer, and the end."""
        self.services.counters.count_error(source, kind)
        if self.client is not None:
            self.status = status
            self.client.reply(self, status, source, kind, detail, retry_after=retry_after, members=members)
        self.end()

    def abort_relay(self) -> None:
        """A part of the answer must not pass for the whole."""
        if self.client is not None:
            self.client.abort()
        self.end()

    def complete(self, status: int) -> None:
        """The client got a whole answer."""
        self.status = status
        self.end()

    def end(self) -> None:
        """From here on nothing can be sent, and nothing be written to the client."""
        key, self.key = self.key, None
        if key is not None:
            key.on_end()
        if self.state == ENDED:
            self.violated("ended_twice")
            return
        self.leave_pool()
        self.turn(ENDED)
        client, self.client = self.client, None
        outcome = self.outcome()
        if self.trace is not None:
            self.trace.end(outcome)
        self.services.observers.observe(outcome)
        if self.body is not None:
            self.body.pieces = []
        if client is not None:
            client.on_exchange_end(self)

    def outcome(self) -> Outcome:
        """What became of it, as all who watch get to know it."""
        return Outcome(
            self.head,
            self.outbound.hop,
            self.endpoint,
            self.backend,
            self.reason,
            self.status,
            time.perf_counter() - self.started,
            self.asked,
            self.answer,
            self.held_body(),
            self.captured,
            self.upgrade is not None,
            None if self.trace is None else self.trace.id,
            self.refused_itself,
        )
