"""OpenTelemetry: a span per request, statement, cache command and call of the FX provider.

On if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ form) is set; the other standard variables hold, such as
OTEL_TRACES_SAMPLER. Needs the extra `otel`. Off, it costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_provider: TracerProvider | None = None
"""One for the process: statements and commands are traced wherever they come from."""


def wanted() -> bool:
    """Whether the environment names a collector."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def init_app(app: FastAPI) -> None:
    """Raises ImportError if tracing is wanted and the extra is not installed."""
    if not wanted():
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=_start(), excluded_urls="healthz,metrics", exclude_spans=["receive", "send"]
    )


def close() -> None:
    """Sends what is still here, for some seconds at most."""
    if _provider is not None:
        _provider.force_flush(2000)


def trace_id() -> str | None:
    """Of the request being served: 32 hex digits; None without a trace."""
    if _provider is None:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@contextmanager
def outgoing(name: str) -> Iterator[dict[str, str]]:
    """A call to another service: yields the header lines that carry the trace there."""
    headers: dict[str, str] = {}
    if _provider is None:
        yield headers
        return
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind

    tracer = _provider.get_tracer(__name__)
    with tracer.start_as_current_span(name, kind=SpanKind.CLIENT):
        propagate.inject(headers)
        yield headers


def _start() -> TracerProvider:
    global _provider
    if _provider is not None:
        return _provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or "async_api"
    _provider = TracerProvider(resource=Resource.create({"service.name": name}))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    AsyncPGInstrumentor().instrument(tracer_provider=_provider)
    RedisInstrumentor().instrument(tracer_provider=_provider)
    return _provider
