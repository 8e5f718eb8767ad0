"""Broken streams from both sides: the edge stays alive, keeps nothing, and sends nothing twice."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Wire, eventually, ok

CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n",
    b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\nGET / HTTP/1",
    b"POST /w HTTP/1.1\r\nHost: h\r\n" + CHUNKED + b"\r\n5;a=b\r\nhello\r\n3\r\n\r\n0\r\n0\r\nA: b\r\n\r\n",
    b"HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"PUT /w HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://g/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
]
ANSWERS = [
    ok(b"hello"),
    b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"hints"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
]
ODD = [
    *[
        b"\r\n",
        b"\n",
        b"\r",
        b"\x00",
        b" ",
        b":",
        b"0",
        b"1",
        b"-1",
        b"ffffffffffffffff",
        b"\xff",
        b"\r\n\r\n",
    ],
    *[b"Content-Length: 5\r\n", b"Host: g\r\n", CHUNKED, b"HTTP/1.1", b"x" * 300],
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
]


@st.composite
def mutated(draw: st.DrawFn, messages: list[bytes], least: int) -> bytes:
    """Some valid messages with a few bytes replaced, inserted, removed or repeated."""
    data = b"".join(draw(st.lists(st.sampled_from(messages), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(least, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 4))
        piece = draw(st.one_of(st.sampled_from(ODD), st.binary(max_size=4), st.just(data[at : at + 40])))
        data = data[:at] + piece + data[at + cut :]
    return data


class Ring:
    """An edge and its upstream, whose next answers can be set."""

    def __init__(self, stage: Stage) -> None:
        self.answer = b""
        self.received = 0
        self.script = stage.upstream(self._serve)
        times = "timeouts: {header: 2s, body: 2s, keep_alive: 2s}"
        limits = "limits: {header_bytes: 2KiB, headers: 20, body_bytes: 64KiB}"
        self.edge: Edge = stage.edge(
            self.script.url,
            endpoints="GET /a: {weight: 0}\nPOST /w: {weight: 0}",
            rest=f"server: {{{times}, {limits}}}\nretries: {{backoff: 1ms, max_backoff: 1ms}}",
            backend="connections: 4, timeouts: {connect: 1s, response: 1s, idle: 1s}",
        )

    def _serve(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                request = wire.request()
                self.received += 1
                broken = self.answer if b" /healthy " not in request else b""
                wire.send(broken or ok(b"fine"))
                if broken:
                    return

    def check(self) -> None:
        """Alive, and nothing is left behind."""
        self.answer = b""
        healthy = b"GET /healthy HTTP/1.1\r\nHost: h\r\n\r\n"
        eventually(lambda: self.edge.ask(healthy).body == b"fine")  # connections of the broken may still go
        eventually(lambda: self.edge.call(lambda: not self.edge.services.clients.items), "clients gone")

        def settled() -> bool:
            pool = self.edge.services.pools["legacy"]
            (address,) = pool.addresses
            nothing = not address.outstanding and not pool.waiting
            return nothing and pool.connections == len(address.idle) <= 4

        eventually(lambda: self.edge.call(settled), "pool settled")
        assert not self.edge.errors, self.edge.errors


@pytest.fixture(scope="module")
def ring(module_stage: Stage) -> Ring:
    return Ring(module_stage)


def converse(edge: Edge, data: bytes, sizes: list[int]) -> bytes:
    """All that comes back for `data`, sent in pieces of these sizes and then half-closed."""
    with contextlib.closing(edge.connect()) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the edge may have closed already
            for size in itertools.chain(sizes, [len(data)]):
                client.send(data[:size])
                data = data[size:]
            client.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                client.more()
        return client.buffer


quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(mutated(REQUESTS, 0), st.lists(st.integers(1, 60), max_size=8))
def test_broken_requests(ring: Ring, data: bytes, sizes: list[int]) -> None:
    before = ring.received
    answers = converse(ring.edge, data + LAST, sizes)
    finals = len(re.findall(rb"HTTP/1\.1 (?!1\d\d)\d{3} ", answers))
    eventually(lambda: ring.received - before <= finals, "no more requests at the upstream than answers")
    ring.check()


@quick
@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6), st.lists(st.integers(1, 60), max_size=8))
def test_unbroken_requests_are_all_answered(ring: Ring, requests: list[bytes], sizes: list[int]) -> None:
    requests = [*(request for request in requests if b"close" not in request), LAST]
    before = ring.received
    answers = converse(ring.edge, b"".join(requests), sizes)
    assert len(re.findall(rb"HTTP/1\.1 200 OK\r\n", answers)) == len(requests)
    assert ring.received - before == len(requests)
    ring.check()


@quick
@given(mutated(ANSWERS, 1), st.sampled_from([REQUESTS[0], REQUESTS[1], REQUESTS[3]]))
def test_broken_answers(ring: Ring, answer: bytes, request_: bytes) -> None:
    before = ring.received
    ring.answer = answer
    converse(ring.edge, request_, [])
    assert ring.received - before <= (1 if request_.startswith(b"POST") else 3)
    ring.check()


def test_many_broken_clients_at_once(ring: Ring) -> None:
    def client(number: int) -> None:
        for data in REQUESTS:
            cut = (number * 37) % len(data)
            with contextlib.closing(ring.edge.connect()) as wire, contextlib.suppress(OSError):
                wire.send(REQUESTS[0] + data[:cut])
                if number % 2:
                    wire.reset()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring.check()
