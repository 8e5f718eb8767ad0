"""Each shadow request is a separate span below the client's span, and the parent of the backend's spans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from proxy import telemetry
from proxy.core.http1.request import RequestHead

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Lines = list[tuple[bytes, bytes]]

_provider: TracerProvider | None = None


def start() -> None:
    """Once per process, before the first request."""
    global _provider
    _provider = telemetry.provider("strangler-compare")


def close() -> None:
    """Sends what is still here, for some seconds at most."""
    if _provider is not None:
        _provider.force_flush(2000)


@contextmanager
def shadow(head: RequestHead, backend: str, lines: Lines) -> Iterator[Lines]:
    """The header lines to send: with the span's context instead of the client's, if requests are traced."""
    if _provider is None:
        yield lines
        return
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind

    carrier = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in lines}
    with _provider.get_tracer("strangler").start_as_current_span(
        f"shadow {head.method} {backend}",
        propagate.extract(carrier),
        SpanKind.CLIENT,
        {"strangler.backend": backend, "strangler.shadow": True, "http.request.method": head.method},
    ):
        ours: dict[str, str] = {}
        propagate.inject(ours)
        kept = [line for line in lines if line[0].lower() not in (b"traceparent", b"tracestate")]
        yield kept + [(name.encode("ascii"), value.encode("latin-1")) for name, value in ours.items()]
