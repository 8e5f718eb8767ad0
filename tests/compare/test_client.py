from __future__ import annotations

import asyncio
import hashlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.compare.client import Asked, BackendRequest, Unanswered, ask
from proxy.config import load_text
from proxy.core.http1.request import RequestHead
from tests.compare.backends import Reply, backend


def asked(legacy: str, keep: int = 1000) -> Asked:
    text = f"backends: {{legacy: {legacy}, async: {{url: 'http://a'}}}}"
    configured = load_text(text, source="x", environ={}).snapshot.legacy
    return asyncio.run(ask(configured, BackendRequest(RequestHead.of("GET", "/a")), "id-1", keep))


@contextmanager
def raw(path: Path, answer: bytes) -> Iterator[str]:
    """A server on a unix socket that says these bytes to every request and closes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            self.wfile.write(answer)

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            server.shutdown()
            thread.join()


def test_a_unix_socket_is_asked_and_repeated_headers_are_joined(tmp_path: Path) -> None:
    lines = b"HTTP/1.1 201 Made So\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi"
    with raw(tmp_path / "s", lines) as url:
        found = asked(f"{{url: '{url}'}}")
    assert (found.answer.status, found.reason, found.upstream) == (201, "Made So", url)
    assert found.answer.headers["x-a"] == "1, 2"
    assert found.answer.body.content == b"hi"


def test_the_next_address_is_asked_where_none_could_be_connected() -> None:
    with socket.socket() as taken, backend({"/a": Reply(b"1")}) as alive:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert asked(f"{{urls: ['{dead}', '{alive.url}']}}").upstream == alive.url


def test_an_answer_that_breaks_off_is_no_answer_and_is_not_asked_again(tmp_path: Path) -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"
    with raw(tmp_path / "s", broken) as url, backend({}) as second:
        with pytest.raises(Unanswered, match="legacy at unix:"):
            asked(f"{{urls: ['{url}', '{second.url}']}}")
        assert second.requests == []


def test_a_redirect_is_an_answer() -> None:
    with backend({"/a": Reply(b"", 302, {"location": "/b"})}) as running:
        found = asked(f"{{url: '{running.url}'}}")
    assert (found.answer.status, found.answer.headers["location"]) == (302, "/b")
    assert len(running.requests) == 1


def test_a_large_body_is_hashed_and_not_kept() -> None:
    with backend({"/a": Reply(b"x" * 100_000)}) as running:
        body = asked(f"{{url: '{running.url}'}}", keep=99_999).answer.body
    assert (body.content, body.size) == (None, 100_000)
    assert body.sha256 == hashlib.sha256(b"x" * 100_000).hexdigest()


def test_a_fixed_host_replaces_the_clients() -> None:
    with backend({}) as running:
        asked(f"{{url: '{running.url}', host: api.example}}")
        ((_, _, fields),) = running.requests
    assert (fields["host"], fields["x-forwarded-host"], fields["x-request-id"]) == (
        *("api.example", "localhost"),
        "id-1",
    )
