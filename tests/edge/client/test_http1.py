"""What a client may do on its connection, and what it may not do for ever."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.edge.client.http1 import ClientConnection
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok, snapshot

HOST = b"Host: h\r\n"
READ = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
LAST_READ = b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
BOTH = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"


def post(body: bytes, fields: bytes = b"") -> bytes:
    return b"POST /w HTTP/1.1\r\n" + HOST + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def echo(wire: Wire, number: int) -> None:
    """Answers with the body that it was sent, or with the target if there was none."""
    with contextlib.suppress(EOFError):
        while True:
            head, _, body = wire.request().partition(b"\r\n\r\n")
            wire.send(ok(body or head.split(b" ")[1]))


def ignoring_errors(send: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def quietly(data: bytes) -> None:
        with contextlib.suppress(OSError):
            send(data)

    return quietly


def clients(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.clients.items))


def errors(edge: Edge) -> dict[tuple[str, str], int]:
    return edge.call(lambda: dict(edge.services.counters.errors))


# one connection, many requests


def test_a_connection_serves_one_request_after_the_other(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(echo).url)
    with contextlib.closing(edge.connect()) as client:
        for number in range(5):
            client.send(READ.replace(b"/a", b"/%d" % number))
            response = client.response()
            assert (response.status, response.body) == (200, b"/%d" % number)
            assert response.header("connection") is None


def test_a_thousand_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    upstream = stage.upstream(echo)
    edge = stage.edge(upstream.url)
    requests = [
        post(b"body%d" % number) if number % 3 == 0 else READ.replace(b"/a", b"/%d" % number)
        for number in range(1000)
    ]
    with contextlib.closing(edge.connect()) as client:
        sender = threading.Thread(target=client.send, args=(b"".join(requests),))
        sender.start()
        bodies = [client.response().body for _ in requests]
        sender.join(WAIT)
    assert bodies == [b"body%d" % n if n % 3 == 0 else b"/%d" % n for n in range(1000)]
    assert len(upstream.requests) == 1000


def test_requests_of_one_connection_go_out_one_at_a_time(stage: Stage) -> None:
    release = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        release.wait(WAIT)
        wire.send(ok())
        answering(ok())(wire, number)

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ * 3)
        eventually(lambda: upstream.requests, "first request")
        assert (len(upstream.requests), upstream.connections) == (1, 1)
        release.set()
        for _ in range(3):
            assert client.response().status == 200
    assert upstream.connections == 1


def test_pipelined_bytes_that_wait_are_bounded(stage: Stage) -> None:
    held = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        held.wait(WAIT)
        wire.send(ok())
        answering(ok())(wire, number)

    edge = stage.edge(stage.upstream(serve).url)
    with contextlib.closing(edge.connect()) as client:
        sender = threading.Thread(target=ignoring_errors(client.send), args=(READ * 1_000_000,))
        sender.start()
        (connection,) = eventually(lambda: edge.call(lambda: list(edge.services.clients.items)), "client")
        assert isinstance(connection, ClientConnection)
        eventually(lambda: edge.call(lambda: len(connection._buffer)) > 64 * 1024, "full buffer")
        assert edge.call(lambda: len(connection._buffer)) < 512 * 1024
        assert sender.is_alive()  # the edge has stopped reading
        held.set()
        client.reset()
        sender.join(WAIT)


def test_pipelined_bytes_are_bounded_also_while_requests_are_answered(stage: Stage) -> None:
    """Each answer made room for another read, whatever still waited."""
    edge = stage.edge(stage.upstream(answering(ok())).url)
    with contextlib.closing(edge.connect()) as client:
        sender = threading.Thread(target=ignoring_errors(client.send), args=(READ * 400_000,))
        sender.start()
        (connection,) = eventually(lambda: edge.call(lambda: list(edge.services.clients.items)), "client")
        assert isinstance(connection, ClientConnection)
        most = 0
        for _ in range(300):
            assert client.response().status == 200
            most = max(most, edge.call(lambda: len(connection._buffer)))
        assert 64 * 1024 < most < 512 * 1024
        client.reset()
        sender.join(WAIT)


def test_pipelined_bodies_are_bounded_and_answered_in_order(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(echo).url)
    bodies = [b"%d" % number for number in range(20_000)]
    with contextlib.closing(edge.connect()) as client:
        sender = threading.Thread(target=ignoring_errors(client.send), args=(b"".join(map(post, bodies)),))
        sender.start()
        (connection,) = eventually(lambda: edge.call(lambda: list(edge.services.clients.items)), "client")
        assert isinstance(connection, ClientConnection)
        for body in bodies[:300]:
            assert client.response().body == body
            assert edge.call(lambda: len(connection._buffer)) < 512 * 1024
        client.reset()
        sender.join(WAIT)


def test_the_same_header_block_with_another_request_line_is_read_anew(stage: Stage) -> None:
    upstream = stage.upstream(echo)
    edge = stage.edge(upstream.url)
    with contextlib.closing(edge.connect()) as client:
        for fields in (b"X: 1\r\n", b"X: 1\r\n", b"X: 2\r\n", b"X: 1\r\n"):
            client.send(b"GET /a HTTP/1.1\r\n" + HOST + fields + b"\r\n")
            client.response()
    assert [re.findall(rb"\r\nX: (\d)", data) for data in upstream.requests] == [
        [b"1"],
        [b"1"],
        [b"2"],
        [b"1"],
    ]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_way_of_splitting_the_bytes_gives_the_same_answers(
    splitting_edge: Edge, sizes: list[int]
) -> None:
    stream = (
        b"\r\n"
        + post(b"abc")
        + READ
        + b"POST /w HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n"
        + LAST_READ
    )
    with contextlib.closing(splitting_edge.connect()) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in sizes:
            client.send(stream[:size])
            stream = stream[size:]
        client.send(stream)
        bodies = [client.response().body for _ in range(4)]
        assert bodies == [b"abc", b"/a", b"abcde", b"/a"]
        assert client.read_all() == b""


@pytest.fixture(scope="module")
def splitting_edge(module_stage: Stage) -> Edge:
    return module_stage.edge(module_stage.upstream(echo).url)


# HTTP/1.0


@pytest.mark.parametrize(
    ("version", "fields", "kept", "answer"),
    [
        pytest.param(b"HTTP/1.0", b"", False, "close", id="1.0"),
        pytest.param(b"HTTP/1.0", b"Connection: keep-alive\r\n", True, "keep-alive", id="1.0 keep-alive"),
        pytest.param(b"HTTP/1.1", b"", True, None, id="1.1"),
        pytest.param(b"HTTP/1.1", b"Connection: Close\r\n", False, "close", id="1.1 close"),
        pytest.param(b"HTTP/1.1", b"Connection: x,close , y\r\n", False, "close", id="close in a list"),
        pytest.param(
            b"HTTP/1.0", b"Connection: close, keep-alive\r\n", False, "close", id="close wins over keep-alive"
        ),
    ],
)
def test_when_a_connection_is_kept(
    stage: Stage, version: bytes, fields: bytes, kept: bool, answer: str | None
) -> None:
    edge = stage.edge(stage.upstream().url)
    request = b"GET /a " + version + b"\r\n" + HOST + fields + b"\r\n"
    with contextlib.closing(edge.connect()) as client:
        client.send(request)
        assert client.response().header("connection") == answer
        if kept:
            client.send(request)
            assert client.response().status == 200
        else:
            assert client.read_all() == b""


def test_an_http_10_client_gets_chunks_as_a_body_that_ends_with_the_connection(stage: Stage) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
    edge = stage.edge(stage.upstream(answering(chunked)).url)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = client.read_all().partition(b"\r\n\r\n")
    assert body == b"abcde"
    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nconnection: close" in head


# bodies


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_bodies_arrive_whole_and_answers_come_back_whole(stage: Stage, chunked: bool, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    edge = stage.edge(stage.upstream(echo).url, endpoints=BOTH)
    if chunked:
        pieces = [body[start : start + 70_001] for start in range(0, size, 70_001)]
        encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        data = b"POST /w HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + encoded
    else:
        data = post(body)
    with contextlib.closing(edge.connect()) as client:
        sender = threading.Thread(target=client.send, args=(data + LAST_READ,))
        sender.start()
        assert client.response().body == (body or b"/w")
        assert client.response().body == b"/a"
        sender.join(WAIT)


def test_100_continue_is_sent_when_the_body_is_wanted(stage: Stage) -> None:
    upstream = stage.upstream(echo)
    edge = stage.edge(upstream.url, endpoints=BOTH)
    head, body = post(b"body", b"Expect: 100-Continue\r\n").split(b"\r\n\r\n")
    with contextlib.closing(edge.connect()) as client:
        client.send(head + b"\r\n\r\n")
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.response().body == b"body"
    assert b"expect" not in upstream.requests[0].lower()


def test_100_continue_is_not_sent_to_a_client_that_does_not_wait_or_does_not_know_it(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(echo).url, endpoints=BOTH)
    request = post(b"body", b"Expect: 100-continue\r\nConnection: close\r\n")
    for data in (request, request.replace(b"HTTP/1.1", b"HTTP/1.0")):
        with contextlib.closing(edge.connect()) as client:
            client.send(data)
            assert client.read_all().startswith(b"HTTP/1.1 200 OK\r\n")


def test_100_continue_is_not_sent_for_a_body_that_is_refused(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url, endpoints=BOTH, rest="server: {limits: {body_bytes: 10}}")
    head, _ = post(b"a" * 11, b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
    with contextlib.closing(edge.connect()) as client:
        client.send(head + b"\r\n\r\n")
        assert client.read_all().startswith(b"HTTP/1.1 413 ")


def test_a_slow_body_does_not_take_an_upstream_connection(stage: Stage) -> None:
    upstream = stage.upstream(echo)
    edge = stage.edge(upstream.url, endpoints=BOTH, backend="connections: 1")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(contextlib.closing(edge.connect())) for _ in range(20)]
        for client in slow:
            client.send(post(b"body")[:-1])
        eventually(lambda: clients(edge) == 20, "clients")
        assert edge.ask(READ).body == b"/a"
        assert upstream.connections == 1
        for client in slow:
            client.send(b"y")
            assert client.response().body == b"body"


# ends


def test_a_half_closed_client_gets_its_answer(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(echo).url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(post(b"body"))
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.read_all()
    assert answer.endswith(b"\r\n\r\nbody")


def test_a_half_closed_client_gets_all_its_pipelined_answers(stage: Stage) -> None:
    release = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        release.wait(WAIT)
        echo(wire, number)

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ + post(b"body") + READ)
        client.sock.shutdown(socket.SHUT_WR)
        eventually(lambda: upstream.connections, "first request")
        release.set()
        answer = client.read_all()
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert clients(edge) == 0


def test_a_client_that_stops_in_the_middle_of_a_request_is_let_go(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, endpoints=BOTH)
    for data in (b"", READ[:-3], post(b"body")[:-1], READ + READ[:-3], READ + post(b"body")[:-1]):
        with contextlib.closing(edge.connect()) as client:
            client.send(data)
            client.sock.shutdown(socket.SHUT_WR)
            client.read_all()
    eventually(lambda: clients(edge) == 0, "clients gone")
    assert [request.split(b" ")[0] for request in upstream.requests] == [b"GET", b"GET"]


def test_with_abort_on_eof_a_fin_cancels_a_read(stage: Stage) -> None:
    received, gone = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        with contextlib.suppress(OSError):
            wire.read_all()
        gone.set()

    edge = stage.edge(stage.upstream(serve).url, rest="server: {abort_on_eof: true}")
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        assert received.wait(WAIT)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""
    assert gone.wait(WAIT)


def test_a_client_that_goes_away_cancels_a_read(stage: Stage) -> None:
    received, gone = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        with contextlib.suppress(OSError):
            wire.read_all()
        gone.set()

    edge = stage.edge(stage.upstream(serve).url)
    client = edge.connect()
    client.send(READ)
    assert received.wait(WAIT)
    client.reset()
    assert gone.wait(WAIT)


def test_a_client_that_goes_away_does_not_cancel_a_write(stage: Stage) -> None:
    received, proceed = threading.Event(), threading.Event()
    finished: list[bool] = []

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        proceed.wait(WAIT)
        wire.send(ok())
        wire.request()  # the connection was kept: the next request comes on it
        wire.send(ok(b"again"))
        finished.append(True)

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=BOTH)
    client = edge.connect()
    client.send(post(b"body"))
    assert received.wait(WAIT)
    client.reset()
    eventually(lambda: clients(edge) == 0, "client gone")
    proceed.set()
    counted = {("POST /w", "legacy", "weight", 200): 1}
    eventually(lambda: edge.call(lambda: dict(edge.services.counters.requests)) == counted, "outcome")
    assert edge.ask(READ).body == b"again"
    assert edge.call(lambda: dict(edge.services.counters.unknown)) == {}


def test_a_413_survives_a_client_that_goes_on_sending(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, endpoints=BOTH, rest="server: {limits: {body_bytes: 1KiB}}")
    with contextlib.closing(edge.connect()) as client:
        client.send(b"POST /w HTTP/1.1\r\n" + HOST + b"Content-Length: 600000\r\n\r\n")
        for _ in range(60):
            client.send(b"a" * 10_000)
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert upstream.connections == 0


def test_lingering_ends_by_bytes_and_by_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.client.transport.LINGER", 0.2)
    monkeypatch.setattr("proxy.edge.client.transport.LINGER_BYTES", 100_000)
    edge = stage.edge(stage.upstream().url)
    with contextlib.closing(edge.connect()) as client:
        client.send(b"garbage\r\n")
        assert client.response().status == 400
        eventually(lambda: clients(edge) == 0, "end by time")
    with contextlib.closing(edge.connect()) as client:
        client.send(b"garbage\r\n")
        assert client.response().status == 400
        with contextlib.suppress(OSError):
            client.send(b"a" * 10_000_000)
        eventually(lambda: clients(edge) == 0, "end by bytes")


# time


TIMEOUTS = "server: {timeouts: {header: 100ms, body: 150ms, keep_alive: 200ms}}"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"GET /a HT", "header_timeout", id="request line"),
        pytest.param(READ[:-2], "header_timeout", id="head"),
        pytest.param(post(b"body")[:-1], "body_timeout", id="body"),
        pytest.param(
            b"POST /w HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "body_timeout",
            id="chunk",
        ),
    ],
)
def test_a_request_that_does_not_arrive_is_answered_408(stage: Stage, data: bytes, kind: str) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, endpoints=BOTH, rest=TIMEOUTS)
    with contextlib.closing(edge.connect()) as client:
        client.send(data)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert f"x-proxy-error: source=client; kind={kind}".encode() in answer
    assert b"\r\nconnection: close\r\n" in answer
    assert upstream.connections == 0


def test_a_head_that_drips_is_timed_as_a_whole(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url, rest=TIMEOUTS)
    stop = threading.Event()
    with contextlib.closing(edge.connect()) as client:

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.02):
                    client.send(b"a")

        client.send(b"GET /")
        dripping = threading.Thread(target=drip)
        dripping.start()
        assert client.read_until(b"\r\n") == b"HTTP/1.1 408 Request Timeout\r\n"
        stop.set()
        dripping.join(WAIT)


def test_a_client_that_says_nothing_is_closed_without_an_answer(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url, rest=TIMEOUTS)
    with contextlib.closing(edge.connect()) as client:
        assert client.read_all() == b""
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        assert client.response().status == 200
        assert client.read_all() == b""


def reader(stage: Stage, rest: str, answer: bytes, request: bytes = READ) -> tuple[Edge, Wire]:
    """A client that has sent a request and will not read the answer."""
    edge = stage.edge(stage.upstream(answering(answer)).url, endpoints=BOTH, rest=rest)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(WAIT)
    sock.connect(("127.0.0.1", edge.port))
    client = Wire(sock)
    client.send(request)
    return edge, client


BIG = ok(b"x" * 20_000_000)


def buffered(edge: Edge) -> int:
    def largest() -> int:
        return max(
            (client.transport.get_write_buffer_size() for client in edge.services.clients.items),  # type: ignore[attr-defined]
            default=0,
        )

    return edge.call(largest)


@pytest.mark.parametrize("request_", [READ, READ * 3, LAST_READ], ids=["kept", "pipelined", "closed"])
def test_a_client_that_does_not_read_costs_bounded_memory_and_is_let_go(
    stage: Stage, request_: bytes
) -> None:
    edge, client = reader(stage, "server: {timeouts: {body: 300ms}}", BIG, request_)
    eventually(lambda: buffered(edge) > 256 * 1024, "buffered answer")
    assert buffered(edge) < 2 * 1024 * 1024
    eventually(lambda: clients(edge) == 0, "client let go")
    assert errors(edge) == {("client", "slow_reader"): 1}
    client.close()


@pytest.mark.parametrize("request_", [READ, LAST_READ], ids=["kept", "closed"])
def test_a_client_that_does_not_read_the_end_of_an_answer_is_let_go(stage: Stage, request_: bytes) -> None:
    """The answer fits the buffers, so nothing waits for the client but its close."""
    server = "server: {timeouts: {body: 200ms, keep_alive: 200ms}, buffers: {response: 64MiB}}"
    edge, client = reader(stage, server, BIG, request_)
    eventually(lambda: edge.call(lambda: dict(edge.services.counters.requests)), "whole answer")
    assert buffered(edge) > 1024 * 1024
    eventually(lambda: clients(edge) == 0, "client let go")
    assert errors(edge) == {("client", "slow_reader"): 1}
    client.close()


def test_a_slow_reader_gets_everything(stage: Stage) -> None:
    edge, client = reader(stage, "", ok(b"0123456789" * 300_000))
    eventually(lambda: buffered(edge) > 0, "buffered answer")
    assert client.response().body == b"0123456789" * 300_000
    client.close()


# drain


def test_draining_closes_what_is_idle_and_finishes_what_is_under_way(stage: Stage) -> None:
    release = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        release.wait(WAIT)
        wire.send(ok(b"done"))

    edge = stage.edge(stage.upstream(serve).url)
    with contextlib.closing(edge.connect()) as busy:
        busy.send(READ)
        eventually(lambda: clients(edge) == 1, "request under way")

        def drain() -> None:
            edge.services.draining = True

        edge.call(drain)
        release.set()
        response = busy.response()
        assert (response.body, response.header("connection")) == (b"done", "close")
        assert busy.read_all() == b""


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("::ffff:192.0.2.7", b"192.0.2.7"),
        ("fe80::1%eth0", b"fe80::1"),
        ("192.0.2.7", b"192.0.2.7"),
        ("", b""),
    ],
)
def test_a_client_has_the_same_address_whichever_socket_it_came_by(
    stage: Stage, peer: str, address: bytes
) -> None:
    edge = stage.edge("http://127.0.0.1:9")
    assert edge.call(lambda: ClientConnection(edge.services, peer).outbound.hop.peer) == address


def test_whether_underscores_pass_may_change_between_two_requests_of_a_connection(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url)
    lenient = snapshot(upstream.url, rest="server: {underscores: pass}")
    with contextlib.closing(edge.connect()) as client:
        request = b"GET /a HTTP/1.1\r\nHost: h\r\nX_User_Id: 6\r\nX-Shadow: 1\r\nX-User-Id: 7\r\n\r\n"
        client.send(request)
        client.response()
        edge.call(lambda: edge.services.apply(lenient))
        client.send(request)
        client.response()
    first, second = (sent.lower() for sent in upstream.requests)
    assert (b"x_user_id" in first, b"x_user_id: 6" in second) == (False, True)
    assert all(b"x-user-id: 7" in sent and b"x-shadow" not in sent for sent in (first, second))
