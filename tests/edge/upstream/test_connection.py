"""What an upstream may answer, and what becomes of answers that it should not have sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable

import pytest

from bench.conformance.answers import BAD, BROKEN_CHUNKS
from bench.conformance.case import Case
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.settings import Backend, Upstream
from proxy.edge import ports
from proxy.edge.deadlines import Sweeper
from proxy.edge.upstream.connection import UpstreamConnection
from proxy.edge.upstream.pool import Pool
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LAST_READ = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
BOTH = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"
NO_RETRY = "retries: {budget: 0%, min_per_second: 0}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def once(*pieces: bytes, hold: bool = True) -> Callable[[Wire, int], None]:
    """Answer one request with these pieces, then wait for the edge to close (`hold`) or close."""

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        for piece in pieces:
            wire.send(piece)
        if hold:
            wire.read_all()

    return serve


def idle(edge: Edge) -> int:
    return edge.call(lambda: sum(len(address.idle) for address in edge.services.pools["legacy"].addresses))


def open_(edge: Edge) -> int:
    return edge.call(lambda: edge.services.pools["legacy"].connections)


def raw(edge: Edge, request: bytes = LAST_READ) -> bytes:
    with contextlib.closing(edge.connect()) as client:
        client.send(request)
        return client.read_all()


# answers


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", b"abcde", id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", id="empty"),
        pytest.param(CHUNKED + b"3;x=y\r\nabc\r\n002\r\nde\r\n0\r\n\r\n", b"abcde", id="chunked"),
        pytest.param(CHUNKED + b"0\r\n\r\n", b"", id="chunked and empty"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", b"a", id="no reason phrase"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            b"a",
            id="100 first",
        ),
    ],
)
def test_an_answer_may_come_in_any_pieces_and_the_connection_is_kept(
    stage: Stage, answer: bytes, body: bytes, step: int
) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            wire.request()
            for start in range(0, len(answer), step):
                wire.send(answer[start : start + step])

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url)
    with contextlib.closing(edge.connect()) as client:
        for _ in range(3):
            client.send(READ)
            assert client.response().body == body
    assert upstream.connections == 1


def test_an_answer_that_ends_with_the_connection_becomes_chunks(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(once(b"HTTP/1.1 200 OK\r\n\r\nabc", b"de", hold=False)).url)
    with contextlib.closing(edge.connect()) as client:
        for _ in range(2):
            client.send(READ)
            response = client.response()
            assert response.body == b"abcde"
            assert response.header("transfer-encoding") == "chunked"


def test_an_http_10_upstream_that_closes_is_served(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(once(b"HTTP/1.0 200 OK\r\n\r\nabc", hold=False)).url)
    assert edge.ask(READ).body == b"abc"
    assert edge.ask(b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n").body == b"abc"


def test_trailers_pass_but_for_those_that_belong_into_the_head(stage: Stage) -> None:
    chunked = CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a\r\nETag: e\r\n\r\n"
    answer = raw(stage.edge(stage.upstream(answering(chunked)).url))
    assert answer.endswith(b"\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nETag: e\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "answer", "there", "gone"),
    [
        pytest.param(
            b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            b"content-length: 500",
            b"transfer-encoding",
            id="HEAD keeps the length",
        ),
        pytest.param(
            b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"200 ok",
            b"content-length",
            id="HEAD of a chunked answer",
        ),
        pytest.param(
            READ,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: e\r\n\r\n",
            b"etag: e",
            b"chunked",
            id="304",
        ),
        pytest.param(
            READ,
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            b"204 no content",
            b"content-length",
            id="204",
        ),
        pytest.param(READ, b"HTTP/1.1 204 No Content\r\n\r\n", b"204 no content", b"chunked", id="204 bare"),
    ],
)
def test_answers_without_a_body_end_with_their_head(
    stage: Stage, request_: bytes, answer: bytes, there: bytes, gone: bytes
) -> None:
    upstream = stage.upstream(answering(answer))
    edge = stage.edge(upstream.url)
    with contextlib.closing(edge.connect()) as client:
        for _ in range(3):
            client.send(request_)
            head = client.response(request_.split(b" ")[0].decode()).head.lower()
            assert there in head
            assert gone not in head
    assert upstream.connections == 1


def test_interim_answers_pass_to_those_who_know_them(stage: Stage) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\n\r\n"
    edge = stage.edge(stage.upstream(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + ok())).url)
    answer = raw(edge)
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert raw(edge, b"GET /a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_hop_by_hop_fields_of_an_answer_end_here(stage: Stage) -> None:
    fields = b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
    fields += b"Proxy-Connection: x\r\nX-Kept: 1\r\n"
    response = stage.edge(stage.upstream(answering(ok(extra=fields))).url).ask(READ)
    assert response.header("x-kept") == "1"
    for name in ("connection", "x-mine", "keep-alive", "proxy-connection"):
        assert response.header(name) is None


def test_repeated_fields_and_odd_bytes_of_an_answer_are_kept_as_they_are(stage: Stage) -> None:
    fields = b"Set-Cookie: a=1\r\nsEt-cOOkie:b=\xe9\r\nX:\r\n"
    head = stage.edge(stage.upstream(answering(ok(extra=fields))).url).ask(READ).head
    assert fields in head


def test_the_first_event_of_a_stream_arrives_at_once(stage: Stage) -> None:
    seen = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        seen.wait(WAIT)
        wire.send(b"data: 2\n\n")

    edge = stage.edge(stage.upstream(serve).url)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"data: 1\n\n")
        seen.set()
        client.read_until(b"data: 2\n\n\r\n0\r\n\r\n")


# answers before their request is complete


def test_an_early_answer_reaches_a_client_that_still_uploads(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nbig")
        wire.read_all()

    edge = stage.edge(stage.upstream(serve).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100_000)
        response = client.response()
        assert (response.status, response.body) == (413, b"big")
        assert response.header("connection") == "close"
        assert client.read_all() == b""
    eventually(lambda: open_(edge) == 0, "upstream connection closed")


def test_what_is_left_of_an_upload_behind_an_early_answer_is_dropped_not_flushed(stage: Stage) -> None:
    """An upstream that has answered and does not read must not keep the connection for ever."""
    answered, stop = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        answered.wait(WAIT)
        wire.send(ok(b"early"))
        stop.wait(3 * WAIT)  # longer than the test waits

    edge = stage.edge(stage.upstream(serve).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        client.sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                client.sock.send(b"x" * 100_000)
        client.sock.settimeout(WAIT)
        descriptor = edge.call(lambda: _upstreams(edge)[0].transport.get_extra_info("socket").fileno())
        inode = _inode(descriptor)
        assert inode
        answered.set()
        assert client.response().body == b"early"
        eventually(lambda: _inode(descriptor) != inode, "closed socket")
        stop.set()


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


def test_the_rest_of_an_upload_behind_an_early_answer_is_not_a_request(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(ok(b"early"))
        wire.read_all()

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100_000)
        assert client.response().body == b"early"
        with contextlib.suppress(OSError):
            client.send(READ * 100)
        assert client.read_all() == b""
    assert upstream.connections == 1


def test_an_answer_that_streams_while_the_upload_goes_on(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        wire.send(CHUNKED + b"5\r\nfirst\r\n")
        wire.read_exactly(200_000)
        wire.send(b"4\r\nlast\r\n0\r\n\r\n")
        wire.read_all()

    edge = stage.edge(stage.upstream(serve).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100_000)
        client.read_until(b"first")
        client.send(b"a" * 100_000)
        client.read_until(b"last\r\n0\r\n\r\n")
        assert client.read_all() == b""


# misbehaviour


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_an_answer_that_can_not_be_relayed_is_a_502(stage: Stage, case: Case) -> None:
    edge = stage.edge(stage.upstream(once(case.answers.data)).url, rest=NO_RETRY)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        response = client.response()
        assert response.status == 502
        assert response.header("x-proxy-error") == "source=upstream; kind=bad_response"
        assert response.header("content-type") == "application/problem+json"
    eventually(lambda: open_(edge) == 0, "upstream connection closed")


@pytest.mark.parametrize("case", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_chunks_that_go_wrong_end_in_a_reset(stage: Stage, case: Case) -> None:
    head, mark, chunks = case.answers.data.partition(b"\r\n\r\n")
    edge = stage.edge(stage.upstream(once(head + mark, chunks)).url)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"\r\n\r\n")
        assert client.is_reset()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ok(b"ok") + b"more", id="behind a length"),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + ok(b"forged"), id="behind chunks"),
        pytest.param(ok(b"ok") + ok(b"forged"), id="another answer"),
    ],
)
def test_bytes_behind_an_answer_are_never_the_next_one(stage: Stage, answer: bytes) -> None:
    upstream = stage.upstream(once(answer))
    edge = stage.edge(upstream.url)
    with contextlib.closing(edge.connect()) as client:
        for number in range(1, 4):
            client.send(READ)
            assert client.response().body == b"ok"
            eventually(lambda: open_(edge) == 0, "connection dropped")
            assert upstream.connections == number


def test_bytes_on_an_idle_connection_end_it(stage: Stage) -> None:
    speak, spoken = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok(b"%d" % number))
        speak.wait(WAIT)
        with contextlib.suppress(OSError):
            wire.send(ok(b"forged"))
        spoken.set()
        answering(ok(b"%d" % number))(wire, number)

    edge = stage.edge(stage.upstream(serve).url)
    assert edge.ask(READ).body == b"1"
    assert idle(edge) == 1
    speak.set()
    assert spoken.wait(WAIT)
    eventually(lambda: open_(edge) == 0, "connection dropped")
    assert edge.ask(READ).body == b"2"


@pytest.mark.parametrize(
    "fields", [b"Connection: close\r\n", b"Connection: x, Close\r\n", b""], ids=["close", "list", "1.0"]
)
def test_a_connection_that_says_close_is_not_used_again(stage: Stage, fields: bytes) -> None:
    version = b"HTTP/1.1" if fields else b"HTTP/1.0"
    answer = version + b" 200 OK\r\nContent-Length: 2\r\n" + fields + b"\r\nok"
    upstream = stage.upstream(once(answer))
    edge = stage.edge(upstream.url)
    for number in (1, 2, 3):
        assert edge.ask(READ).status == 200
        assert upstream.connections == number
    eventually(lambda: open_(edge) == 0, "connections closed")


def test_an_http_10_answer_with_a_transfer_encoding_ends_its_connection(stage: Stage) -> None:
    """RFC 9112 section 6.1: its framing is suspect even where it says keep-alive."""
    answer = (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    upstream = stage.upstream(once(answer))
    edge = stage.edge(upstream.url)
    assert [edge.ask(READ).body for _ in range(2)] == [b"ok", b"ok"]
    assert upstream.connections == 2


# flow control and time


def test_an_upstream_is_not_read_faster_than_its_client_reads(stage: Stage) -> None:
    size = 60_000_000
    sent = [0]

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        wire.sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while sent[0] < size:
                sent[0] += wire.sock.send(b"x" * 100_000)

    edge = stage.edge(stage.upstream(serve).url, backend="timeouts: {idle: 100ms}")
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"\r\n\r\n")
        eventually(lambda: edge.call(lambda: any(c._paused for c in _upstreams(edge))), "paused upstream")
        held = edge.call(
            lambda: sum(c.transport.get_write_buffer_size() for c in edge.services.clients.items)  # type: ignore[attr-defined]
        )
        assert held < 2_000_000
        assert sent[0] < size


def _upstreams(edge: Edge) -> list[UpstreamConnection]:
    return [item for item in edge.services.upstreams.items if isinstance(item, UpstreamConnection)]


def test_an_upload_is_not_read_faster_than_its_upstream_reads(stage: Stage) -> None:
    stop = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        stop.wait(WAIT)

    edge = stage.edge(stage.upstream(serve).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.sock.settimeout(0.3)
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                sent += client.sock.send(b"x" * 100_000)
        assert sent < 50_000_000
        held = edge.call(lambda: sum(c.transport.get_write_buffer_size() for c in _upstreams(edge)))
        assert held < 2_000_000
        stop.set()


def test_an_upstream_that_does_not_read_an_upload_is_given_up(stage: Stage) -> None:
    stop = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        stop.wait(WAIT)

    edge = stage.edge(
        stage.upstream(serve).url, endpoints=BOTH, backend="timeouts: {idle: 200ms, response: 200ms}"
    )
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")

        def upload() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    client.send(b"x" * 100_000)

        sender = threading.Thread(target=upload)
        sender.start()
        response = client.response()
        assert (response.status, response.header("x-proxy-error")) == (504, "source=upstream; kind=timeout")
        stop.set()
        client.reset()
        sender.join(WAIT)


def test_a_slow_upload_is_not_the_upstreams_fault(stage: Stage) -> None:
    """The response timeout begins with the last byte of the request."""
    first = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        first.set()
        wire.read_exactly(200_000)
        wire.send(ok())

    edge = stage.edge(
        stage.upstream(serve).url, endpoints=BOTH, backend="timeouts: {idle: 50ms, response: 50ms}"
    )
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100_000)
        assert first.wait(WAIT)
        for _ in range(10):
            client.send(b"a" * 10_000)
            threading.Event().wait(0.02)
        assert client.response().status == 200


# a state that sockets reach only by chance


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Receiver(ports.Receiver):
    """Pauses its upstream as soon as the answer begins, as a client that is full does."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__("GET")
        self._connection = connection
        self.body = b""

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        self._connection.pause()

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        self.body += data


@pytest.mark.interpreted
def test_a_connection_that_was_paused_at_its_last_byte_is_read_again_by_its_next_exchange() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        backend = Backend("legacy", (Upstream("http://h", "http", "h", 80),))
        sweeper = Sweeper(loop, 1.0)
        pool = Pool(backend, loop, sweeper)
        connection, transport = UpstreamConnection(pool, pool.addresses[0]), Transport()
        connection.connection_made(transport)
        receiver = Receiver(connection)
        connection.start(receiver, READ, last=True)
        connection.data_received(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
        assert receiver.body == b"ok"
        assert pool.addresses[0].idle == [connection]
        assert transport.reading
        sweeper.stop()

    asyncio.run(main())
