from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.wire.framing import FrameReader
from proxy.core.wire.taps import Tap, decode_tap
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, answering, eventually, ok, snapshot

SAMPLED = "GET /a: {compare: {sample: 100%}}"
GET = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


class Comparer:
    """Takes the taps of one worker."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(WAIT)
        self._listener.bind(self.path)
        self._listener.listen()
        self.connection: socket.socket | None = None
        self._frames = FrameReader()

    def accept(self) -> socket.socket:
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(WAIT)
        return self.connection

    def tap(self) -> Tap:
        connection = self.connection or self.accept()
        while True:
            data = connection.recv(65536)
            assert data, "the worker hung up"
            for body in self._frames.feed(data):
                return decode_tap(body)

    def close(self) -> None:
        self._listener.close()
        if self.connection is not None:
            self.connection.close()


@pytest.fixture
def comparer(tmp_path: Path) -> Iterator[Comparer]:
    with contextlib.closing(Comparer(tmp_path / "s")) as comparer:
        yield comparer


def dropped(edge: Edge) -> dict[tuple[str, str], int]:
    return edge.call(lambda: dict(edge.services.counters.dropped))


def test_a_sampled_request_is_told_as_it_was_after_it_was_answered(stage: Stage, comparer: Comparer) -> None:
    edge = stage.edge(stage.upstream().url, endpoints=SAMPLED, samples=comparer.path)
    assert edge.ask(GET).body == b"ok"
    tap = comparer.tap()
    assert (tap.endpoint, tap.method, tap.target) == ("GET /a", "GET", b"/a?x=1")
    assert (tap.host, tap.fields) == (b"h", b"Host: h\r\nAuthorization: Bearer t\r\n")
    assert (tap.backend, tap.status, tap.peer, tap.body, tap.write) == (
        "legacy",
        200,
        b"127.0.0.1",
        b"",
        None,
    )


def test_what_is_not_sampled_is_not_told(stage: Stage, comparer: Comparer) -> None:
    endpoints = f"{SAMPLED}\nGET /b: {{}}\nPOST /a: {{compare: {{sample: 100%}}}}"
    edge = stage.edge(stage.upstream().url, endpoints=endpoints, samples=comparer.path)
    for target in (b"/b", b"/unlisted"):
        edge.ask(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
    edge.ask(POST)
    edge.ask(GET)
    tap = comparer.tap()
    assert tap.endpoint == "GET /a"
    assert tap.dropped == [("POST /a", "it may change something", 1)]


def test_nothing_is_made_ready_where_nothing_is_sampled(stage: Stage, comparer: Comparer) -> None:
    url = stage.upstream().url
    edge = stage.edge(url, endpoints="GET /a: {}", samples=comparer.path)
    assert edge.call(lambda: edge.services.observers.tee) is None
    edge.call(lambda: edge.services.apply(snapshot(url, endpoints=SAMPLED)))
    edge.ask(GET)
    assert comparer.tap().status == 200
    edge.call(lambda: edge.services.apply(snapshot(url, endpoints="GET /a: {}")))
    assert edge.call(lambda: edge.services.observers.tee) is None


def test_a_write_is_told_with_its_answer_where_the_endpoint_wants_a_dry_run(
    stage: Stage, comparer: Comparer
) -> None:
    upstream = stage.upstream(answering(ok(b'{"id":7}', b"Location: /a/7\r\n")))
    edge = stage.edge(
        upstream.url,
        endpoints="POST /a: {compare: {sample: 100%, dry_run: true}}",
        backend="dry_run: {header: 'x-dry-run: 1'}",
        samples=comparer.path,
    )
    edge.ask(POST)
    tap = comparer.tap()
    assert tap.body == b"{}"
    assert tap.write is not None
    assert (tap.write.location, tap.write.answer) == (b"/a/7", b'{"id":7}')
    assert b"Location: /a/7\r\n" in tap.write.fields


def test_a_failure_of_ours_is_no_answer_to_compare(stage: Stage, comparer: Comparer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        edge = stage.edge(
            f"http://127.0.0.1:{taken.getsockname()[1]}", endpoints=SAMPLED, samples=comparer.path
        )
        assert edge.ask(GET).status == 502
    assert dropped(edge) == {("samples", "not answered"): 1}


def test_without_a_comparer_samples_are_dropped_and_counted_and_told_when_it_comes(
    stage: Stage, tmp_path: Path
) -> None:
    edge = stage.edge(stage.upstream().url, endpoints=SAMPLED, samples=str(tmp_path / "s"))
    assert edge.ask(GET).status == 200
    assert dropped(edge) == {("samples", "no comparer"): 1}
    with contextlib.closing(Comparer(tmp_path / "s")) as comparer:

        def told() -> bool:
            before = sum(dropped(edge).values())
            edge.ask(GET)
            return sum(dropped(edge).values()) == before

        eventually(told, "the worker connects again")
        ((endpoint, reason, number),) = comparer.tap().dropped
    assert (endpoint, reason, number) == ("GET /a", "no comparer", sum(dropped(edge).values()))


def test_a_comparer_that_does_not_read_costs_samples_not_answers(stage: Stage, comparer: Comparer) -> None:
    edge = stage.edge(stage.upstream().url, endpoints=SAMPLED, samples=comparer.path)
    large = GET[:-2] + b"X: " + b"y" * 20_000 + b"\r\n\r\n"
    eventually(lambda: edge.ask(large).status == 200 and ("samples", "comparer busy") in dropped(edge))
    told = [comparer.tap() for _ in range(3)]  # whole, though the socket was full in the middle of one
    assert {tap.fields[-4:] for tap in told} == {b"yy\r\n"}


def test_a_comparer_that_died_is_found_again(stage: Stage, comparer: Comparer, tmp_path: Path) -> None:
    edge = stage.edge(stage.upstream().url, endpoints=SAMPLED, samples=comparer.path)
    edge.ask(GET)
    comparer.accept()
    comparer.close()
    (tmp_path / "s").unlink()
    with contextlib.closing(Comparer(tmp_path / "s")) as second:
        eventually(lambda: edge.ask(GET).status == 200 and dropped(edge))
        eventually(lambda: edge.ask(GET).status == 200 and _comes(second), "a tap for the second comparer")


def _comes(comparer: Comparer) -> bool:
    comparer._listener.settimeout(0.05)
    try:
        comparer.accept()
    except TimeoutError:
        return False
    return True


def test_a_foreign_socket_gets_no_credentials(
    stage: Stage, comparer: Comparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listens there had the path before the comparer; that it is another user is only said here."""
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    edge = stage.edge(stage.upstream().url, endpoints=SAMPLED, samples=comparer.path)
    assert edge.ask(GET).body == b"ok"
    eventually(lambda: dropped(edge)["samples", "no comparer"] == 1, "it was dropped")
    assert comparer.accept().recv(65536) == b""
