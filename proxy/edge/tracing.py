"""OpenTelemetry: a span for each request, and one for each attempt at a backend.

On if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ form) is set; sampling, batches and the rest follow the
standard variables. Needs the extra `otel`. Spans leave on a thread of their own: a collector that is slow or
gone costs spans, never requests. W3C Trace Context: what comes in is the parent, what goes out names the
attempt, so that a retry is seen as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from proxy import telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from proxy.edge.exchange import Exchange

FLUSH: Final = 2000  # milliseconds for what is left when the worker ends

_without_context: Final = re.compile(rb"(?im)^trace(?:parent|state):[^\n]*\n").sub
_without_parent: Final = re.compile(rb"(?im)^traceparent:[^\n]*\n").sub


def start() -> Tracer | None:
    """None if requests are not traced."""
    provider = telemetry.provider("strangler")
    return None if provider is None else Tracer(provider)


class Tracer:
    """One per worker; `begin` is called in the event loop, once per request."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self.spans = provider.get_tracer("strangler")
        self.extract = TraceContextTextMapPropagator().extract
        self.inside = set_span_in_context
        self.server, self.client = SpanKind.SERVER, SpanKind.CLIENT
        self.failed = Status(StatusCode.ERROR)

    def begin(self, exchange: Exchange) -> Trace:
        return Trace(self, exchange)

    def close(self) -> None:
        """Blocks for FLUSH at most."""
        self._provider.force_flush(FLUSH)


class Trace:
    """The spans of one request; `id` has 32 hex digits."""

    __slots__ = ("_attempt", "_continued", "_inside", "_request", "_tracer", "id")

    def __init__(self, tracer: Tracer, exchange: Exchange) -> None:
        from opentelemetry.trace import get_current_span

        head, endpoint = exchange.head, exchange.endpoint
        carrier = {
            name: value.decode("latin-1")
            for name in ("traceparent", "tracestate")
            if (value := head.get(name.encode("ascii"))) is not None
        }
        parent = tracer.extract(carrier)
        self._continued = get_current_span(parent).get_span_context().is_valid
        self._tracer = tracer
        self._attempt: Any = None
        attributes = {
            "http.request.method": exchange.method,
            "url.path": head.target.partition(b"?")[0].decode("latin-1"),
            "client.address": exchange.peer,
        }
        name = exchange.method
        if endpoint is not None:
            name = endpoint.name
            attributes["http.route"] = endpoint.template
        self._request = tracer.spans.start_span(name, parent, tracer.server, attributes)
        self._inside = tracer.inside(self._request)
        self.id = f"{self._request.get_span_context().trace_id:032x}"

    def attempt(self, exchange: Exchange, block: bytes) -> bytes:
        """Begins a span for a request that goes out now: its header lines, with the context in them."""
        self._end_attempt()
        span = self._request
        if span.is_recording():
            span = self._attempt = self._begin_attempt(exchange)
        context = span.get_span_context()
        lines = (_without_parent if self._continued else _without_context)(b"", block)
        parent = f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return lines + parent.encode("ascii") + b"\r\n"

    def failed(self, exchange: Exchange, kind: str) -> None:
        """The attempt came to nothing, maybe before anything was sent."""
        span = self._attempt
        if span is None and self._request.is_recording():
            span = self._attempt = self._begin_attempt(exchange)
        if span is not None:
            span.set_attribute("error.type", kind)
            span.set_status(self._tracer.failed)
            self._end_attempt()

    def end(self, exchange: Exchange) -> None:
        """The request is over, whatever became of it."""
        if self._attempt is not None and exchange.answer is not None:
            self._attempt.set_attribute("http.response.status_code", exchange.answer.status)
        self._end_attempt()
        span = self._request
        if span.is_recording():
            span.set_attribute("http.response.status_code", exchange.status)
            span.set_attribute("strangler.backend", exchange.backend)
            span.set_attribute("strangler.reason", exchange.reason)
            if exchange.status >= 500 or not exchange.status:
                span.set_status(self._tracer.failed)
        span.end()

    def _begin_attempt(self, exchange: Exchange) -> Any:
        upstream = exchange.upstream
        attributes = {"strangler.backend": exchange.backend, "http.request.method": exchange.method}
        if upstream is not None:
            attributes["server.address"] = upstream.address.upstream.url
        return self._tracer.spans.start_span(
            f"{exchange.method} {exchange.backend}", self._inside, self._tracer.client, attributes
        )

    def _end_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end()
