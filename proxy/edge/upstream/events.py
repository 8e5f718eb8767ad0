"""Answers that are event streams: they may be silent for hours, and each event is useful at once."""

from __future__ import annotations

from proxy.core.http1.response import ResponseHead


def is_event_stream(response: ResponseHead) -> bool:
    kind = (response.get(b"content-type") or b"").partition(b";")[0]
    return kind.strip(b" \t").lower() == b"text/event-stream"
