"""Exports the spans of the proxy's processes: OpenTelemetry, configured by its standard environment
variables."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("strangler")


def wanted() -> bool:
    """Whether the environment names a collector."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def provider(service: str) -> TracerProvider | None:
    """None if tracing is not asked for, or cannot be had: then a line in the log says why."""
    if not wanted():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.error("requests are not traced: %s; run: pip install 'strangler[otel]'", error)
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    found = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    found.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return found
