"""OpenTelemetry: a span for each request, and one for each attempt at a backend.

On if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ form) is set; sampling, batches and the rest follow the
standard variables. Needs the extra `otel`. Spans leave on a thread of their own: a collector that is slow or
gone costs spans, never requests. W3C Trace Context: what comes in is the parent, what goes out names the
attempt, so that a retry is seen as one.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any, Final

from proxy import telemetry
from proxy.core.http1.request import RequestHead
from proxy.core.settings import Endpoint
from proxy.edge.outcome import Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH: Final = 2000  # milliseconds for what is left when the worker ends

MAX_CONTEXT: Final = 512  # bytes of one header; W3C Trace Context section 3.3.1.5 asks for no more

_without_context: Final = re.compile(rb"(?im)^trace(?:parent|state):[^\n]*\n").sub
_without_parent: Final = re.compile(rb"(?im)^traceparent:[^\n]*\n").sub


def start() -> Tracer | None:
    """None if requests are not traced."""
    provider = telemetry.provider("strangler")
    return None if provider is None else Tracer(provider)


class Tracer:
    """One per worker; `begin` is called in the event loop, once per request."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self.spans = provider.get_tracer("strangler")
        self.sampler = provider.sampler
        self.extract = TraceContextTextMapPropagator().extract
        self.span_of = get_current_span
        self.inside = set_span_in_context
        self.server, self.client = SpanKind.SERVER, SpanKind.CLIENT
        self.failed = Status(StatusCode.ERROR)
        self.dropped = Decision.DROP
        self.next_id = 0  # of the trace that the next span begins
        generator = provider.id_generator
        self._random_id = generator.generate_trace_id
        generator.generate_trace_id = self._trace_id  # type: ignore[method-assign]

    def begin(self, head: RequestHead, endpoint: Endpoint | None, peer: str) -> Trace:
        """Whether it is sampled is asked first: a span that nobody will see costs more than the request."""
        carrier = _context_lines(head)
        parent = self.extract(carrier) if carrier else None
        above = self.span_of(parent).get_span_context() if parent else None
        continued = above is not None and above.is_valid
        trace_id = above.trace_id if above is not None and continued else random.getrandbits(128) or 1
        name = head.method if endpoint is None else endpoint.name
        decision = self.sampler.should_sample(parent, trace_id, name, self.server).decision
        if decision is self.dropped:
            return Trace(self, trace_id, continued, None)
        attributes = {
            "http.request.method": head.method,
            "url.path": head.target.partition(b"?")[0].decode("latin-1"),
            "client.address": peer,
        }
        if endpoint is not None:
            attributes["http.route"] = endpoint.template
        self.next_id = trace_id
        return Trace(self, trace_id, continued, self.spans.start_span(name, parent, self.server, attributes))

    def close(self) -> None:
        """Blocks for FLUSH at most."""
        self._provider.force_flush(FLUSH)

    def _trace_id(self) -> int:
        """The one that the decision was made for."""
        found, self.next_id = self.next_id, 0
        return found or self._random_id()


class Trace:
    """The spans of one request, if it is sampled; `id` has 32 hex digits."""

    __slots__ = ("_attempt", "_continued", "_request", "_tracer", "id")

    def __init__(self, tracer: Tracer, trace_id: int, continued: bool, request: Any) -> None:
        self.id = f"{trace_id:032x}"
        self._tracer = tracer
        self._continued = continued
        self._request = request
        self._attempt: Any = None

    def attempt(self, method: str, backend: str, url: str | None, block: bytes) -> bytes:
        """Begins a span for a request that goes out now: its header lines, with the context in them."""
        self._end_attempt()
        if self._request is None:
            if self._continued:
                return block  # the client's own context says that it is not sampled
            span_id, flags = random.getrandbits(64) or 1, 0
        else:
            self._attempt = self._begin_attempt(method, backend, url)
            context = self._attempt.get_span_context()
            span_id, flags = context.span_id, context.trace_flags
        lines = (_without_parent if self._continued else _without_context)(b"", block)
        return lines + f"traceparent: 00-{self.id}-{span_id:016x}-{flags:02x}\r\n".encode("ascii")

    def failed(self, method: str, backend: str, url: str | None, kind: str) -> None:
        """The attempt came to nothing, maybe before anything was sent."""
        if self._request is None:
            return
        if self._attempt is None:
            self._attempt = self._begin_attempt(method, backend, url)
        self._attempt.set_attribute("error.type", kind)
        self._attempt.set_status(self._tracer.failed)
        self._end_attempt()

    def end(self, outcome: Outcome) -> None:
        """The request is over, whatever became of it."""
        span = self._request
        if span is None:
            return
        if self._attempt is not None and outcome.answer is not None:
            self._attempt.set_attribute("http.response.status_code", outcome.answer.status)
        self._end_attempt()
        span.set_attribute("http.response.status_code", outcome.status)
        span.set_attribute("strangler.backend", outcome.backend)
        span.set_attribute("strangler.reason", outcome.reason)
        if outcome.status >= 500 or not outcome.status:
            span.set_status(self._tracer.failed)
        span.end()

    def _begin_attempt(self, method: str, backend: str, url: str | None) -> Any:
        attributes = {"strangler.backend": backend, "http.request.method": method}
        if url is not None:
            attributes["server.address"] = url
        return self._tracer.spans.start_span(
            f"{method} {backend}",
            self._tracer.inside(self._request),
            self._tracer.client,
            attributes,
        )

    def _end_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end()


def _context_lines(head: RequestHead) -> dict[str, str]:
    parent = head.get(b"traceparent")
    if parent is None or len(parent) > MAX_CONTEXT:
        return {}
    carrier = {"traceparent": parent.decode("latin-1")}
    state = b",".join(head.fields.values(b"tracestate"))  # one list, RFC 9110 section 5.3
    if state and len(state) <= MAX_CONTEXT:
        carrier["tracestate"] = state.decode("latin-1")
    return carrier
