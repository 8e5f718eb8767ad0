"""Server-sent events: an answer that is never finished is passed on as it comes."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import Wire, eventually

FIRST = b"data: 1\n\n"


@pytest.mark.parametrize(
    ("framing", "event"),
    [
        (b"transfer-encoding: chunked\r\n", b"9\r\n" + FIRST + b"\r\n"),
        (b"connection: close\r\n", FIRST),
    ],
)
def test_each_event_arrives_while_the_answer_is_still_open(
    stage: Stage, framing: bytes, event: bytes
) -> None:
    seen = threading.Event()
    gone = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + framing + b"\r\n" + event)
        assert seen.wait(5)
        wire.send(event)
        with contextlib.suppress(EOFError, OSError):
            wire.read_until(b"never")
        gone.set()

    edge = stage.edge(stage.upstream(serve).url)
    with contextlib.closing(edge.connect()) as wire:
        wire.send(b"GET /a HTTP/1.1\r\nhost: a.example\r\naccept: text/event-stream\r\n\r\n")
        assert b"content-type: text/event-stream" in wire.read_until(b"\r\n\r\n")
        assert wire.read_until(FIRST + b"\r\n") == b"9\r\n" + FIRST + b"\r\n"
        seen.set()
        assert wire.read_until(FIRST + b"\r\n") == b"9\r\n" + FIRST + b"\r\n"
        wire.reset()  # an orderly close might be a half-close
    eventually(gone.is_set, "the backend is told that the client has gone")
