"""One connection to an upstream: writes requests and parses the answers. It knows nothing about clients."""

from __future__ import annotations

import asyncio
import select
from typing import Final, cast

from proxy.core.http1.chunked import ChunkedDecoder
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.response import CHUNKED, UNTIL_CLOSE, ResponseHead, is_kept, parse_response
from proxy.core.resilience.retry import FailureKind
from proxy.edge.deadlines import NEVER
from proxy.edge.ports import GaveUp, Receiver
from proxy.edge.upstream import hanging
from proxy.edge.upstream.address import Address, Pooled
from proxy.edge.upstream.answerhead import add, what_is_wrong
from proxy.edge.upstream.events import is_event_stream
from proxy.edge.upstream.home import Home
from proxy.edge.upstream.kernel import is_read
from proxy.edge.upstream.patience import idle_timeout, response_timeout

MAX_INFORMATIONAL: Final = 16  # 1xx answers before the final one; more is a storm
SEND_BUFFER: Final = 64 * 1024


class UpstreamConnection(Pooled):
    """Serves one exchange at a time.

    An asyncio protocol by its methods, not by inheritance: a compiled class may have no interpreted base.
    """

    __slots__ = (
        "_decoder",
        "_held",
        "_informational",
        "_left",
        "_partial",
        "_paused",
        "_poll",
        "pool",
        "stalled",
    )

    def __init__(self, pool: Home, address: Address) -> None:
        super().__init__(address)
        self.pool = pool
        self.stalled = False  # it waits for its client
        self._partial: bytearray | None = None  # of a head, or of an error's body
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._held = False
        self._informational = 0
        self._paused = False
        self._poll: select.poll | None = None

    def __repr__(self) -> str:
        if self.closed:
            state = "closed"
        elif not self.pooled:
            state = "connecting"
        elif self.tunnel:
            state = "tunnel"
        elif self.exchange is None:
            state = "idle"
        else:
            state = "answering" if self.answered else "asked"
        return f"<UpstreamConnection to {self.url}: {state}{', stalled' if self.stalled else ''}>"

    # called by the exchange

    def start(self, exchange: Receiver, data: bytes, last: bool) -> None:
        self.exchange = exchange
        self.answered = False
        self._informational = 0
        self.waited = 0.0
        self.write(data, last)

    def write(self, data: bytes, last: bool) -> None:
        self.transport.write(data)
        self.request_sent = last
        if last and self.exchange is not None:
            self._time_response(self.exchange)

    def pause(self) -> None:
        if not self.closed and not self._paused:
            self._paused = True
            self.transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        if not self.closed and self._paused:
            self._paused = False
            self.transport.resume_reading()
            self._time_idle(self.exchange)

    def abort(self) -> None:
        self.exchange = None
        if not self.closed:
            self.transport.abort()
        self._lost()

    def stall(self) -> None:
        if not self.closed and not self.stalled:
            self.stalled = True
            self.pool.stalled.add(self)

    def go_on(self) -> None:
        if self.stalled:
            self.stalled = False
            self.pool.stalled.remove(self)

    def is_quiet(self) -> bool:
        """Whether the idle connection has neither been closed by the upstream nor been sent unasked bytes.

        Asks the kernel, because the event loop may not have come round to telling us.
        """
        poll = self._poll
        if poll is None:
            poll = self._poll = select.poll()
            descriptor = self.transport.get_extra_info("socket").fileno()
            poll.register(descriptor, select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)

    def given_up(self) -> GaveUp:
        return hanging.given_up(self, self.pool)

    def switch(self) -> bool:
        room = self.pool.has_tunnel()
        if room:
            self.pool.switch(self)
        return room

    def silence(self) -> float:
        return self.pool.backend.timeouts.idle

    # called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SEND_BUFFER)

    def data_received(self, data: bytes) -> None:
        if self.response is not None:
            self._on_body(data)
            return
        exchange = self.exchange
        if exchange is None:
            self.abort()  # bytes that nobody asked for: never to be taken for the next answer
            return
        self.answered = True
        if self._partial is None:
            end = data.find(b"\r\n\r\n")
        else:
            end = add(self._partial, data)
            data = b"" if end < 0 else bytes(self._partial)
        if end < 0:
            self._partial_head(data)
            return
        self._partial = None
        try:
            response = parse_response(data[: end + 4], exchange.method)
        except Malformed as error:
            self._fail("bad_response", error.detail)
            return
        if response.status < 200:
            self._on_informational(response, data[end + 4 :])
        else:
            self._on_head(exchange, response, data[end + 4 :])

    def eof_received(self) -> bool | None:
        if self.response is not None and self.response.length == UNTIL_CLOSE and self.exchange is not None:
            exchange = self.exchange
            self.address.answered(self.pool.loop.time())
            self.close()
            exchange.on_data(b"", True, [])
        elif self.exchange is not None:
            self.read = self.request_sent and is_read(self.transport)
        return None  # the transport closes itself and calls connection_lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("reset", "the upstream closed the connection before its answer was complete")

    def pause_writing(self) -> None:
        """The upstream does not read the request: it has as long as for going on with an answer."""
        self.full = True
        if self.exchange is not None:
            if self.response is None:
                self._time_idle(self.exchange)
            self.exchange.on_upstream_writable(False)

    def resume_writing(self) -> None:
        self.full = False
        exchange = self.exchange
        if exchange is not None:
            if self.response is None:
                self.deadline = NEVER
                if self.request_sent:
                    self._time_response(exchange)
            exchange.on_upstream_writable(True)

    def on_deadline(self, now: float) -> None:
        if self.exchange is None:
            self.abort()  # idle for pool_idle
        else:
            what = "begin its answer" if self.response is None else "continue its answer"
            self._fail("timeout", f"the upstream did not {what} in time")

    def _time_response(self, exchange: Receiver) -> None:
        self.deadline = self.pool.loop.time() + response_timeout(exchange, self.pool.backend)

    def _time_idle(self, exchange: Receiver | None) -> float:
        """From now, which it returns, as long as the next piece may take."""
        now = self.pool.loop.time()
        self.deadline = now + idle_timeout(exchange, self.pool.backend)
        return now

    def _flows(self, exchange: Receiver, size: int) -> None:
        """A piece of the body came, and not the last one."""
        self.flowed = self._time_idle(exchange) - self.began
        self.received += size

    # parsing

    def _partial_head(self, data: bytes) -> None:
        """`data` is its beginning, or empty if that was held already."""
        partial = self._partial
        if partial is None:
            partial = self._partial = bytearray(data)
        wrong = what_is_wrong(partial)
        if wrong:
            self._fail("bad_response", wrong)

    def _on_informational(self, response: ResponseHead, rest: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        now = self.beat = self.pool.loop.time()
        self._informational += 1
        if response.status == 101 and exchange.upgrade is not None:
            self.address.heard_at = now
            self.exchange = None
            self.deadline = NEVER
            exchange.on_upgrade(response, rest)
            return
        if response.status == 101 or self._informational > MAX_INFORMATIONAL:
            self._fail("bad_response", "an unrequested upgrade or too many interim answers arrived")
            return
        exchange.on_informational(response)
        if rest:
            self.data_received(rest)

    def _on_head(self, exchange: Receiver, response: ResponseHead, data: bytes) -> None:
        length = response.length
        if length >= 0:
            if len(data) == length:  # the whole answer came in one read
                self._finish(response, clean=True)
                exchange.on_response(response, data, True)
                return
            if len(data) > length:
                self._finish(response, clean=False)
                exchange.on_response(response, data[:length], True)
                return
            self._left = length - len(data)
        elif length == CHUNKED:
            self._decoder = ChunkedDecoder()
        self.response = response
        self.began = self._time_idle(exchange)
        self.flowed = 0.0
        self.received = len(data)
        if is_event_stream(response):
            self.address.heard_at = self.began  # it may be all that comes for hours
        if length > 0 and (not data or is_kept(response)):
            self._held = True  # until its body begins, a failure can still be made good elsewhere
            self._partial = bytearray(data) if data else None
        elif self._decoder is None:
            exchange.on_response(response, data, False)
        else:
            exchange.on_response(response, b"", False)
            if data and self.exchange is not None:
                self._on_body(data)

    def _on_body(self, data: bytes) -> None:
        response, exchange = self.response, self.exchange
        if response is None or exchange is None:
            return
        if self._decoder is not None:
            self._on_chunked(self._decoder, data)
            return
        held, self._held = self._held, False
        if held and is_kept(response):
            partial = self._partial = bytearray() if self._partial is None else self._partial
            partial += data
            if len(partial) < response.length:
                self._held = True
                self._flows(exchange, len(data))
                return
            self._partial = None
            data = bytes(partial)
            self._left = response.length
        if response.length == UNTIL_CLOSE or len(data) < self._left:
            self._left -= len(data)
            self._flows(exchange, len(data))
            if held:
                exchange.on_response(response, data, False)
            else:
                exchange.on_data(data, False, [])
            return
        clean = len(data) == self._left
        data = data[: self._left]
        self._finish(response, clean)
        if held:
            exchange.on_response(response, data, True)
        else:
            exchange.on_data(data, True, [])

    def _on_chunked(self, decoder: ChunkedDecoder, data: bytes) -> None:
        response, exchange = self.response, self.exchange
        if response is None or exchange is None:
            return
        try:
            payload = decoder.feed(data)
        except Malformed as error:
            self._fail("bad_response", f"in the upstream's answer {error.detail}")
            return
        if decoder.done:
            self._finish(response, clean=not decoder.rest)
        else:
            self._flows(exchange, len(data))
        if payload or decoder.done:
            exchange.on_data(payload, decoder.done, decoder.trailers)

    # endings

    def _finish(self, response: ResponseHead, clean: bool) -> None:
        """The answer is complete: the connection serves the next exchange, or goes."""
        self.exchange = None
        self.response = None
        self._decoder = None
        self.go_on()
        if clean and response.keep_alive and self.request_sent and not self.closed:
            self.used = True
            if self._paused:
                self._paused = False
                self.transport.resume_reading()
            self.pool.release(self)
            return
        self.address.answered(self.pool.loop.time())
        if self.transport.get_write_buffer_size():
            self.abort()  # the rest of the request is of no use to an upstream that has answered
        else:
            self.close()

    def _fail(self, kind: FailureKind, detail: str) -> None:
        exchange = self.exchange
        stale = kind == "reset" and self.used and not self.answered and not self.read
        self.abort()
        if exchange is not None:
            if not stale:
                self.address.failed(self.pool.loop.time())
            exchange.on_failure(kind, detail)

    def close(self) -> None:
        self.exchange = None
        if not self.closed:
            self.transport.close()
        self._lost()

    def _lost(self) -> None:
        if not self.closed:
            self.closed = True
            self.deadline = NEVER
            self.go_on()
            self.pool.forget(self)
