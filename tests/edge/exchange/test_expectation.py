"""`Expect: 100-continue` where nothing is buffered: the backend says whether it wants the body."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from proxy.edge.exchange import expectation
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Wire, ok

UNBUFFERED = "POST /a: {buffers: {request: 0}}"
HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
CHUNKED = HEAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend's verdict is awaited for longer than any test takes."""
    monkeypatch.setattr(expectation, "LONGEST", 10 * WAIT)


@pytest.mark.parametrize(
    ("head", "sent"), [(HEAD, b"body"), (CHUNKED, b"4\r\nbody\r\n0\r\n\r\n")], ids=["length", "chunked"]
)
def test_the_body_is_asked_for_when_the_backend_asks_for_it(stage: Stage, head: bytes, sent: bytes) -> None:
    asked, go = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def serve(wire: Wire, number: int) -> None:
        while True:  # a connection that closed without a word could fail the second write
            seen.append(wire.read_until(b"\r\n\r\n"))
            asked.set()
            assert go.wait(WAIT)
            wire.send(CONTINUE)
            seen.append(wire.read_exactly(len(sent)))
            wire.send(ok(b"done"))

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(head)
        assert asked.wait(WAIT)
        assert b"\r\nexpect: 100-continue\r\n" in seen[0].lower()
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):  # not before the backend
            client.sock.recv(1)
        client.sock.settimeout(WAIT)
        go.set()
        assert client.read_until(b"\r\n\r\n") == CONTINUE
        client.send(sent)
        assert client.response().body == b"done"
        assert seen[1] == sent
        client.send(head)  # the connection is as good as before
        assert client.read_until(b"\r\n\r\n") == CONTINUE


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"413 Content Too Large", b"417 Expectation Failed"])
def test_a_final_answer_reaches_the_client_and_its_body_is_never_read(stage: Stage, status: bytes) -> None:
    ended = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nno" % status)
        assert wire.read_all() == b""  # nothing more comes, and the connection is not used again
        ended.set()

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"\r\n\r\nno")
    assert b"\r\nconnection: close\r\n" in answer
    assert CONTINUE not in answer
    assert ended.wait(WAIT)


def test_a_final_answer_reaches_a_client_that_sends_its_body_all_the_same(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        assert wire.read_all() == b""

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        assert client.read_until(b"\r\n\r\nno").startswith(b"HTTP/1.1 413 ")
        client.send(b"body")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""  # no reset


def test_a_backend_that_says_nothing_gets_the_body_after_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectation, "LONGEST", 0.05)

    def serve(wire: Wire, number: int) -> None:
        assert wire.request().endswith(b"\r\n\r\nbody")
        wire.send(ok(b"done"))

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        assert client.read_until(b"\r\n\r\n") == CONTINUE
        client.send(b"body")
        assert client.response().body == b"done"


def test_a_late_100_is_not_sent_to_the_client_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectation, "LONGEST", 0.05)

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(CONTINUE + ok(b"done"))

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        assert client.read_until(b"\r\n\r\n") == CONTINUE
        client.send(b"body")
        assert client.read_until(b"done").startswith(b"HTTP/1.1 200 ")


def test_other_interim_answers_are_no_verdict(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + CONTINUE)
        assert wire.read_exactly(4) == b"body"
        wire.send(ok(b"done"))

    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
        assert client.read_until(b"\r\n\r\n") == CONTINUE
        client.send(b"body")
        assert client.response().body == b"done"


def test_without_a_backend_the_client_hears_so_without_having_sent_its_body(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    edge = stage.edge(f"http://127.0.0.1:{port}", endpoints=UNBUFFERED)
    with contextlib.closing(edge.connect()) as client:
        client.send(HEAD)
        assert client.read_all().startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("more", [b"", b"Idempotency-Key: k\r\n"], ids=["body at once", "keyed"])
def test_who_needs_the_whole_body_or_has_it_asks_no_backend(
    stage: Stage, more: bytes, tmp_path: object
) -> None:
    def serve(wire: Wire, number: int) -> None:
        head = wire.request()
        assert b"expect" not in head.lower()
        wire.send(ok(b"done"))

    rest = f"server: {{state: 'sqlite:///{tmp_path}/state.db'}}"
    edge = stage.edge(stage.upstream(serve).url, endpoints=UNBUFFERED, rest=rest)
    with contextlib.closing(edge.connect()) as client:
        head = HEAD.replace(b"Host", more + b"Host")
        client.send(head if more else head + b"body")
        if more:
            assert client.read_until(b"\r\n\r\n") == CONTINUE
            client.send(b"body")
        assert client.response().body == b"done"
