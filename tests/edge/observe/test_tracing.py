"""Spans of the proxy, as its own provider hands them to an exporter."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from proxy import telemetry
from proxy.edge.observe import tracing
from proxy.edge.observe.tracing import Tracer
from tests.edge.conftest import Stage
from tests.edge.exchange.test_exchange import NO_WAIT
from tests.edge.harness import Edge, Script, Wire, answering, eventually, ok
from tests.support.ports import dead_port

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Traced(NamedTuple):
    edge: Edge
    exporter: InMemorySpanExporter

    def spans(self, count: int) -> list[ReadableSpan]:
        """All, oldest first, once there are `count`."""
        eventually(lambda: len(self.exporter.get_finished_spans()) >= count, f"{count} spans")
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def traced(edge: Edge) -> Traced:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    edge.services.observers.tracer = Tracer(provider)
    return Traced(edge, exporter)


def read(more: str = "") -> bytes:
    return f"GET /a HTTP/1.1\r\nHost: h\r\n{more}\r\n".encode()


def hexed(number: int) -> str:
    return f"{number:016x}"


def test_the_request_and_its_attempt_are_spans_and_the_backend_gets_the_attempt(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok()))
    found = traced(stage.edge(upstream.url))
    found.edge.ask(read(f"Traceparent: 00-{TRACE}-{PARENT}-01\r\nTracestate: a=b\r\n"))
    request, attempt = found.spans(2)
    assert request.parent is not None
    assert hexed(request.parent.span_id) == PARENT
    assert attempt.parent == request.context
    assert request.name == "GET /a"
    assert request.attributes is not None
    assert request.attributes["strangler.backend"] == "legacy"
    assert request.attributes["http.response.status_code"] == 200
    [sent] = upstream.requests
    context = attempt.context
    assert context is not None
    assert f"traceparent: 00-{TRACE}-{hexed(context.span_id)}-01\r\n".encode() in sent
    assert sent.lower().count(b"traceparent") == 1
    assert b"Tracestate: a=b\r\n" in sent


def test_a_request_without_context_begins_a_trace(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok()))
    found = traced(stage.edge(upstream.url))
    found.edge.ask(read())
    request, _ = found.spans(2)
    assert request.parent is None
    assert request.context is not None
    assert f"traceparent: 00-{request.context.trace_id:032x}-".encode() in upstream.requests[0]


def test_a_context_that_cannot_be_read_is_replaced_with_its_state(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok()))
    found = traced(stage.edge(upstream.url))
    found.edge.ask(read("traceparent: 00-zz-1-01\r\ntracestate: a=b\r\n"))
    found.spans(2)
    assert upstream.requests[0].count(b"traceparent: ") == 1
    assert b"tracestate" not in upstream.requests[0]


def test_a_context_that_is_too_long_is_none(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok()))
    found = traced(stage.edge(upstream.url))
    found.edge.ask(read(f"traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a={'b ' * 300}c\r\n"))
    found.edge.ask(read(f"traceparent: 00-{TRACE}-{PARENT}-01-{'a' * 600}\r\n"))
    spans = [span.context for span in found.spans(4) if span.parent is None or span.parent.is_remote]
    state, parent = (context for context in spans if context is not None)
    assert (state.trace_id == int(TRACE, 16), len(state.trace_state)) == (True, 0)
    assert parent.trace_id != int(TRACE, 16)


def test_a_client_that_does_not_sample_is_obeyed_and_told_on(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok()))
    found = traced(stage.edge(upstream.url))
    found.edge.ask(read(f"traceparent: 00-{TRACE}-{PARENT}-00\r\n"))
    found.edge.ask(read())
    assert len(found.spans(2)) == 2
    assert f"traceparent: 00-{TRACE}-".encode() in upstream.requests[0]
    assert b"-00\r\n" in upstream.requests[0].partition(b"traceparent")[2]


def test_a_failed_attempt_and_its_retry_on_the_fallback_are_spans_of_their_own(stage: Stage) -> None:
    legacy = stage.upstream(answering(ok()))
    edge = stage.edge(legacy.url, dead_port(), endpoints="GET /a: {weight: 100}", rest=NO_WAIT)
    found = traced(edge)
    assert edge.ask(read()).header("x-served-by") == "legacy"
    request, *attempts = found.spans(3)
    assert [span.name for span in attempts] == ["GET async", "GET legacy"]
    assert request.attributes is not None
    assert request.attributes["strangler.reason"] == "fallback"


def test_a_timeout_is_a_failed_span_and_the_second_attempt_another(stage: Stage) -> None:
    def silent(wire: Wire, _: int) -> None:
        wire.request()
        with contextlib.suppress(EOFError):
            wire.read_until(b"\0never")

    edge = stage.edge(
        stage.upstream(answering(ok())).url,
        stage.upstream(silent).url,
        endpoints="GET /a: {weight: 100}",
        rest=NO_WAIT,
        backend="timeouts: {response: 200ms}",
    )
    found = traced(edge)
    assert edge.ask(read()).status == 200
    request, failed, second = found.spans(3)
    assert [span.name for span in (request, failed, second)] == ["GET /a", "GET async", "GET legacy"]
    assert not failed.status.is_ok
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "timeout"
    assert failed.parent == second.parent == request.context


def test_a_problem_and_the_access_log_name_the_trace(stage: Stage, tmp_path: object) -> None:
    log = f"{tmp_path}/access.log"
    edge = stage.edge(dead_port(), rest=f"server: {{access_log: '{log}'}}")
    found = traced(edge)
    problem = edge.ask(read(f"traceparent: 00-{TRACE}-{PARENT}-01\r\n"))
    assert problem.status == 502
    assert f'"trace_id":"{TRACE}"'.encode() in problem.body.replace(b": ", b":")
    found.spans(1)

    def logged() -> bool:
        with contextlib.suppress(FileNotFoundError), open(log) as file:
            return f'"trace_id":"{TRACE}"' in file.read()
        return False

    assert eventually(logged)


@pytest.fixture
def _no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_collector")
def test_nothing_is_traced_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    assert tracing.start() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert telemetry.wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not telemetry.wanted()
    upstream: Script = stage.upstream(answering(ok()))
    stage.edge(upstream.url).ask(read(f"traceparent: 00-{TRACE}-{PARENT}-01\r\n"))
    assert f"traceparent: 00-{TRACE}-{PARENT}-01\r\n".encode() in upstream.requests[0]
