"""One request and its response: buffers the body, finds an upstream, relays, handles failures.

No task, future or timer belongs to an exchange that goes well; everything is a callback from the client's
connection, the pool or the upstream's connection.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from proxy.core.decide import Decision
from proxy.core.headers import Hop, response_block
from proxy.core.http1.chunked import encode_chunk, encode_end
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.retry import STATUS, UNSENT, Again, Attempt, FailureKind, after_failure, backoff
from proxy.core.snapshot import ASYNC, LEGACY, SAFE_METHODS, BackendName, Endpoint, Reason, Snapshot
from proxy.edge.deadlines import NEVER

if TYPE_CHECKING:
    from proxy.edge.downstream import ClientConnection
    from proxy.edge.pool import Address, Pool
    from proxy.edge.services import Services
    from proxy.edge.upstream import UpstreamConnection

RETRY_AFTER = 1  # seconds suggested to a client that met a full pool
MAX_CAPTURED = 64 * 1024  # bytes of an answer


class Exchange:
    """Created when a request head is complete; ends with exactly one call of `Services.observe`."""

    __slots__ = (
        "_answer",
        "_attempts",
        "_body",
        "_body_complete",
        "_buffered",
        "_buffers",
        "_encode_request",
        "_encode_response",
        "_ended",
        "_fallback_used",
        "_fresh",
        "_outbound",
        "_pool",
        "_relayed",
        "_retries",
        "_sent",
        "_streaming",
        "backend",
        "captured",
        "client",
        "deadline",
        "endpoint",
        "head",
        "keep_alive",
        "method",
        "reason",
        "response_timeout",
        "safe",
        "services",
        "snapshot",
        "started",
        "status",
        "tried",
        "upgrade",
        "upstream",
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
        self.client: ClientConnection | None = client
        self._outbound = client.outbound
        self.services = services
        self.snapshot = snapshot  # one snapshot from start to end, whatever is reloaded meanwhile
        self.head = head
        self.method = head.method
        self.backend = backend
        self.reason: Reason = decision.reason
        self.started = time.perf_counter()  # the loop's own clock has milliseconds only
        self.status = 0  # what the client got; 0 while and if it got nothing whole
        self.keep_alive = head.fields.keep_alive
        endpoint = decision.endpoint
        self.endpoint: Endpoint | None = endpoint
        if endpoint is None:
            self.safe = head.method in SAFE_METHODS
            self.response_timeout: float | None = None
            self._buffers = snapshot.buffers
            self.captured: bytearray | None = None  # the answer's body, for a comparison with a dry run
        else:
            self.captured = bytearray() if endpoint.compare.dry_run else None
            self.safe = endpoint.safe
            self.response_timeout = endpoint.response_timeout
            self._buffers = endpoint.buffers
        self.upgrade = head.fields.upgrade
        self.upstream: UpstreamConnection | None = None
        self.tried: tuple[Address, ...] = ()
        self.deadline = NEVER  # while waiting for a connection
        self._pool: Pool | None = None
        self._body: list[bytes] = []
        self._buffered = 0
        self._body_complete = True
        self._streaming = False  # part of the body was sent and is no longer held
        self._encode_request = False
        self._encode_response = False
        self._sent = False
        self._relayed = False
        self._answer: ResponseHead | None = None
        self._attempts = 0
        self._retries = 0
        self._fallback_used = False
        self._fresh = False  # an attempt died: the next must not meet another dead connection
        self._ended = False

    @property
    def peer(self) -> str:
        """Address of the client's end of its connection, also when it is gone."""
        return self._outbound.hop.peer.decode("ascii")

    @property
    def hop(self) -> Hop:
        return self._outbound.hop

    @property
    def answer(self) -> ResponseHead | None:
        """Of the last attempt, if it was answered."""
        return self._answer

    def request_body(self) -> bytes | None:
        """None if it is not held: it was streamed, or did not come to its end."""
        return b"".join(self._body) if self._body_complete and not self._streaming else None

    # the request, from the client's connection

    def begin(self, has_body: bool) -> None:
        """The head is in. With a body, the first attempt waits until enough of it is buffered."""
        if has_body:
            self._body_complete = False
        else:
            self._attempt()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """The next piece of the body, already decoded."""
        self._body_complete = complete
        if self._sent and self.upstream is not None:
            self._stream(data, complete)
            return
        if data:
            self._body.append(data)
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
        if self._ended:
            return
        if not self.safe and self._body_complete and self._sent:
            if self.upstream is not None:
                self.upstream.resume()  # it may have waited for the client to read
            return
        if self._sent and not self.safe:
            self.services.count_unknown(self.endpoint)
        if self._pool is not None and self.deadline != NEVER:
            self._pool.stop_waiting(self)
        self._drop_upstream()
        self._end()

    def on_client_writable(self, writable: bool) -> None:
        """The client's connection is full beyond `buffers.response`, or has room again."""
        if self.upstream is not None and self._answer is not None:
            if writable:
                self.upstream.resume()
            else:
                self.upstream.pause()

    # attempts

    def _attempt(self) -> None:
        self._attempts += 1
        self._sent = False
        self._answer = None
        pool = self._pool = self.services.pools[self.backend]
        connection = pool.acquire(self, write=not self.safe, fresh=self._fresh)
        if connection is not None:
            self.on_connection(connection)

    def wants_connection(self) -> bool:
        return not self._ended

    def on_deadline(self, now: float) -> None:
        """Waited too long for the pool."""
        self.deadline = NEVER
        if self._pool is not None:
            self._pool.stop_waiting(self)
        self.on_failure("no_connection", f"no connection to the {self.backend} backend became free in time")

    def on_connection(self, connection: UpstreamConnection) -> None:
        self.upstream = connection
        self._sent = True
        data = self._request_head()
        body = self._body
        if body:
            data += self._encoded(b"".join(body), self._body_complete)
            if not self._body_complete:
                self._streaming = True
                self._body = []
        if not self._body_complete:
            self._resume_client()
        connection.start(self, data, self._body_complete)

    def _request_head(self) -> bytes:
        head, fields = self.head, self.head.fields
        block = self._outbound.block(head, self.snapshot.backend(self.backend).host)
        if self.upgrade is not None:
            block += b"connection: upgrade\r\nupgrade: %b\r\n" % self.upgrade
        line = b"%b %b HTTP/1.1\r\n" % (head.method.encode("ascii"), head.target)
        tail = b"\r\n"
        if b"x-request-id" not in fields.special:
            tail = b"x-request-id: %b\r\n\r\n" % self.services.request_id()
        if fields.chunked:
            self._encode_request = not self._body_complete
            framing = (
                b"transfer-encoding: chunked\r\n"
                if self._encode_request
                else b"content-length: %d\r\n" % self._buffered
            )
            return line + block + framing + tail
        return line + block + tail

    def _encoded(self, data: bytes, complete: bool) -> bytes:
        if not self._encode_request:
            return data
        chunk = encode_chunk(data) if data else b""
        return chunk + encode_end([]) if complete else chunk

    def _stream(self, data: bytes, complete: bool) -> None:
        connection = self.upstream
        if connection is not None and not connection.closed:
            self._streaming = True
            connection.write(self._encoded(data, complete), complete)

    def on_upstream_writable(self, writable: bool) -> None:
        if writable:
            self._resume_client()
        else:
            self._pause_client()

    # the response, from the upstream's connection

    def on_informational(self, response: ResponseHead) -> None:
        if self.client is not None and self.head.fields.minor == 1:
            self.client.write(response_block(response, None) + b"\r\n")

    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None:
        """101: from here on the two connections are one tunnel, and `rest` is its first bytes."""
        client, upstream = self.client, self.upstream
        self.client = self.upstream = None
        self.status = response.status
        if client is not None and upstream is not None:
            upgrade = response.get(b"upgrade") or b""
            head = response_block(response, self._served_by())
            head += b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % upgrade
            client.switch(head + rest, upstream)
        elif upstream is not None:
            upstream.abort()
        self._end()

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        self._answer = response
        if self.backend == ASYNC:
            self.services.record_breaker(self, failed=response.status >= 500)
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None  # it is in the pool again
        client = self.client
        if client is not None:
            self._relayed = True
            head = self._response_head(response)
            if self._encode_response:
                data = self._encoded_response(data, complete, [])
            client.write(head + data)
        if complete:
            self._complete(response.status)

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None
        if self.client is not None:
            self.client.write(self._encoded_response(data, complete, trailers))
        if complete and self._answer is not None:
            self._complete(self._answer.status)

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
        return response_block(response, self._served_by()) + framing + b"\r\n"

    def _served_by(self) -> BackendName | None:
        return self.backend if self.snapshot.server.expose_backend else None

    def _encoded_response(self, data: bytes, complete: bool, trailers: Pairs) -> bytes:
        if not self._encode_response:
            return data
        chunk = encode_chunk(data) if data else b""
        return chunk + encode_end(trailers) if complete else chunk

    def _complete(self, status: int) -> None:
        self.status = status
        self._end()

    # failures

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        """An attempt came to nothing; the failure table says what now."""
        if self._ended:
            return
        upstream, self.upstream = self.upstream, None
        reused = upstream is not None and upstream.used
        answered = upstream is not None and upstream.answered
        if not (reused and not answered):
            self.services.record_breaker(self, failed=True)
        backend = self.snapshot.backend(self.backend)
        verdict = after_failure(
            Attempt(
                failure=kind,
                safe=self.safe,
                sent=self._sent and kind not in UNSENT,
                reused=reused,
                answered=answered,
                relayed=self._relayed,
                whole=self._body_complete and not self._streaming,
                attempts=self._attempts,
                upstreams=len(backend.upstreams),
                fallback=self._fallback_available(),
                retried=self._retries > 0,
            )
        )
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
        self._fresh = self._fresh or self._sent
        if verdict.budgeted:  # the fresh try after a stale connection comes on top
            self._retries += 1
        if verdict.on_fallback:
            self.backend = LEGACY
            self.reason = "fallback"
            self._fallback_used = True
            self._attempts = 0
            self.tried = ()
        if verdict.budgeted:
            delay = backoff(self.snapshot.retries, max(1, self._retries), random.random())
            self.services.loop.call_later(delay, self._attempt_unless_ended)
        else:
            self._attempt()

    def _attempt_unless_ended(self) -> None:
        if not self._ended:
            self._attempt()

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
        if not self.safe and self._sent:
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

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def _end(self) -> None:
        self._ended = True
        client = self.client
        self.services.observe(self)
        self._body = []
        if client is not None:
            client.on_exchange_end(self)

    def _pause_client(self) -> None:
        if self.client is not None:
            self.client.pause_body()

    def _resume_client(self) -> None:
        if self.client is not None:
            self.client.resume_body()
