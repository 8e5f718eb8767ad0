from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from proxy.compare import tracing
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.settings import Limits

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def head() -> RequestHead:
    return parse_request(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", Limits())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_provider", provider)
    yield exporter
    provider.shutdown()


def test_a_shadow_request_is_a_span_below_the_clients_and_above_the_backends(
    spans: InMemorySpanExporter,
) -> None:
    lines = [(b"Host", b"h"), (b"Traceparent", f"00-{TRACE}-{PARENT}-01".encode()), (b"tracestate", b"a=b")]
    with tracing.shadow(head(), "legacy", lines) as sent:
        pass
    [span] = spans.get_finished_spans()
    assert span.name == "shadow GET legacy"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.attributes is not None
    assert span.attributes["strangler.shadow"] is True
    assert span.context is not None
    assert sent == [
        (b"Host", b"h"),
        (b"traceparent", f"00-{TRACE}-{span.context.span_id:016x}-01".encode()),
        (b"tracestate", b"a=b"),
    ]


def test_without_tracing_the_lines_go_as_they_are() -> None:
    lines = [(b"traceparent", b"anything")]
    with tracing.shadow(head(), "legacy", lines) as sent:
        assert sent is lines
