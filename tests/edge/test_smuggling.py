"""What two parsers could read differently is refused, or reaches the upstream in one reading.

Every refusal is followed by a sentinel request: had anything of the refused bytes gone out, the upstream
would have seen it before the sentinel.
"""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest
from _pytest.mark.structures import ParameterSet

from bench.conformance.case import CHUNKED, HIDDEN, HOST, Case, Cases, get, post
from bench.conformance.cases import FORWARDED, REFUSED
from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Wire, ok


class Upstream:
    """Answers every request and keeps all bytes that came, in order."""

    def __init__(self, stage: Stage) -> None:
        self.received = bytearray()
        self._sentinels = itertools.count()
        self.script = stage.upstream(self._serve)
        limits = "header_bytes: 4KiB, headers: 20, target_bytes: 1KiB, body_bytes: 64KiB"
        self.edge: Edge = stage.edge(self.script.url, rest=f"server: {{limits: {{{limits}}}}}")

    def _serve(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self.received += wire.request()
                wire.send(ok())

    def since_last_call(self) -> bytes:
        """What came before a sentinel that is sent now."""
        mark = b"/sentinel-%d" % next(self._sentinels)
        assert self.edge.ask(get(HOST, mark)).status == 200
        before, _, after = bytes(self.received).partition(b"GET " + mark)
        assert after.count(b" HTTP/1.1\r\n") == 1
        self.received.clear()
        return before


@pytest.fixture(scope="module")
def upstream(module_stage: Stage) -> Upstream:
    return Upstream(module_stage)


def exchange(edge: Edge, data: bytes) -> bytes:
    """All that comes back; the edge closes the connection."""
    with contextlib.closing(edge.connect()) as wire:
        wire.send(data)
        return wire.read_all()


def named(chapters: dict[str, Cases]) -> list[ParameterSet]:
    return [
        pytest.param(case, id=f"{chapter}, {name}")
        for chapter, cases in chapters.items()
        for name, case in cases.items()
    ]


@pytest.mark.parametrize("hidden", [b"", HIDDEN], ids=["alone", "with a request behind it"])
@pytest.mark.parametrize("case", named(REFUSED))
def test_it_is_refused_and_nothing_of_it_goes_out(upstream: Upstream, case: Case, hidden: bytes) -> None:
    answer = exchange(upstream.edge, b"".join(case.pieces) + hidden)
    assert answer.startswith(b"HTTP/1.1 %b " % case.shows.encode()), answer
    assert len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\nx-proxy-error: source=client; kind=" in answer
    assert upstream.since_last_call() == b""


@pytest.mark.parametrize("case", named(FORWARDED))
def test_it_goes_out_once_in_one_reading(upstream: Upstream, case: Case) -> None:
    answer = exchange(upstream.edge, b"".join(case.pieces))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    received = upstream.since_last_call()
    head, _, body = received.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (case.line, case.body)
    assert len(re.findall(rb"(?im)^(content-length|transfer-encoding):", head)) <= 1
    lowered = head.lower() + b"\r\n"
    assert [piece for piece in case.there if b"\n" + piece not in lowered] == []
    assert [piece for piece in case.gone if piece in lowered] == []


def test_bytes_behind_a_body_are_the_next_request_and_nothing_else(upstream: Upstream) -> None:
    answer = exchange(
        upstream.edge,
        post(b"Content-Length: 3\r\n", b"abc")
        + post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")
        + get(HOST + b"Connection: close\r\n")
        + HIDDEN,
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    received = upstream.since_last_call()
    assert re.findall(rb"((?:POST|GET) /\S+) HTTP/1.1\r\n", received) == [b"POST /p", b"POST /p", b"GET /g"]


@pytest.mark.parametrize("cut", [b"\r", b"\r\n", b"\r\n\r"], ids=repr)
def test_empty_lines_before_a_request_may_come_in_pieces(upstream: Upstream, cut: bytes) -> None:
    data = b"\r\n\r\n" + get(HOST)
    with contextlib.closing(upstream.edge.connect()) as wire:
        wire.send(cut)
        upstream.since_last_call()  # by then the edge has read the first piece
        wire.send(data[len(cut) :])
        assert wire.response().status == 200
    assert upstream.since_last_call().startswith(b"GET /g ")


def test_any_number_of_empty_lines_costs_one_pass(upstream: Upstream) -> None:
    """Taking them off one by one would copy what is left each time: minutes, for this many."""
    answer = exchange(upstream.edge, b"\r\n" * 2_000_000 + get(HOST + b"Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert upstream.since_last_call().startswith(b"GET /g ")
