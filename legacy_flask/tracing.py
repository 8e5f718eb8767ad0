"""OpenTelemetry: a span per request, statement and call of the FX provider.

On if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ form) is set; the other standard variables hold, such as
OTEL_TRACES_SAMPLER. Needs the extra `otel`. Off, it costs nothing. Each gunicorn worker makes its own
application, so the exporter's thread is on the right side of the fork.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Flask
from sqlalchemy import Engine

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_provider: TracerProvider | None = None


def wanted() -> bool:
    """Whether the environment names a collector."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def init_app(app: Flask, engine: Engine) -> None:
    """Raises ImportError if tracing is wanted and the extra is not installed."""
    if not wanted():
        return
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    provider = _start()
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider, excluded_urls="healthz,metrics")
    # It asks for SQLAlchemy < 2.1, and uses nothing but the events of an engine; a test sees the spans.
    SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=provider, skip_dep_check=True)


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
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or "legacy_flask"
    _provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(_provider.force_flush, 2000)
    return _provider
