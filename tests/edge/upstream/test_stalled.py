"""Connections that wait for their clients give way to others, at whatever rate these clients go on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from tests.edge.conftest import Stage
from tests.edge.crowd import Crowd, Slow
from tests.edge.harness import WAIT, Edge, Response, Wire, eventually, ok

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = 24 * 1024 * 1024  # more than all buffers between a backend and a client
WHOLE = ok(bytes(BIG))
ENDPOINTS = "GET /a: {weight: 0}\nGET /big: {weight: 0}\nPOST /w: {weight: 0}"
SMALL = "server: {buffers: {request: 1KiB, response: 64KiB}}"
CONNECTIONS = 20

SMALL_UPLOAD = Slow("up", 40_000, 1_000)
UPLOAD = Slow("up", 40_000, 20_000)
FAST_UPLOAD = Slow("up", 200_000, 50_000)
SMALL_READER = Slow("down", 40_000, 1_000)
READER = Slow("down", 40_000, 20_000)
FAST_READER = Slow("down", 400_000, 40_000)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.upstream.stalled.PATIENCE", 0.2)


def serve(wire: Wire, number: int) -> None:
    """Uploads are read as they come, /big is big."""
    with contextlib.suppress(EOFError):
        while True:
            head = wire.read_until(b"\r\n\r\n")
            if head.startswith(b"POST"):
                while wire.sock.recv(65536):
                    pass
                return
            wire.send(WHOLE if head.startswith(b"GET /big") else ok())


def stage_edge(stage: Stage, backend: str, script: Callable[[Wire, int], None] = serve) -> Edge:
    return stage.edge(stage.upstream(script).url, endpoints=ENDPOINTS, backend=backend, rest=SMALL)


def stalled(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.pools["legacy"].stalled))


def waiting(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.pools["legacy"].waiting))


def slow_clients(edge: Edge) -> int:
    return edge.call(lambda: edge.services.counters.errors["client", "slow_client"])


def post(size: int = BIG) -> bytes:
    return b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size


def uploading(edge: Edge) -> Wire:
    """A client that has sent enough of its body to be passed on."""
    before = stalled(edge)
    client = edge.connect()
    client.send(post() + bytes(2048))
    eventually(lambda: stalled(edge) > before, "it is waited for")
    return client


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([SMALL_UPLOAD] * 40, id="uploads in small pieces"),
        pytest.param([UPLOAD] * 40, id="uploads in big pieces"),
        pytest.param([FAST_UPLOAD] * 40, id="faster uploads"),
        pytest.param([SMALL_READER] * 40, id="readers in small pieces"),
        pytest.param([READER] * 40, id="readers in big pieces"),
        pytest.param([FAST_READER] * 40, id="faster readers"),
        pytest.param([UPLOAD, FAST_UPLOAD, READER, SMALL_READER] * 10, id="a mixture"),
    ],
)
def test_whatever_rate_slow_clients_keep_others_are_served(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, members: list[Slow]
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.stalled.PATIENCE", 0.5)
    edge = stage_edge(stage, f"connections: {CONNECTIONS}")
    with Crowd(edge.port, members):
        eventually(lambda: stalled(edge) > CONNECTIONS // 2, "they hold the connections")
        for _ in range(10):
            assert edge.ask(READ).status == 200
            time.sleep(0.02)
    assert slow_clients(edge)


def refused(answer: Response) -> bool:
    """For want of a connection."""
    kind = (answer.status, answer.header("x-proxy-error"))
    return kind == (503, "source=upstream; kind=no_connection") and answer.header("retry-after") is not None


def asked(edge: Edge) -> Wire:
    """A read that waits for a connection."""
    before = waiting(edge)
    client = edge.connect()
    client.send(READ)
    eventually(lambda: waiting(edge) > before, "it waits")
    return client


def test_an_upload_is_ended_by_whole_requests_only(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 1, stalled: 0%, timeouts: {connect: 1s}")
    first = uploading(edge)
    second = edge.connect()
    second.send(post() + bytes(2048))
    assert refused(second.response())
    assert slow_clients(edge) == 0
    assert edge.ask(READ).status == 200
    assert first.response().status == 502


def test_whole_requests_go_before_uploads_beyond_the_share(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 1, stalled: 0%")
    first = uploading(edge)
    second = edge.connect()
    second.send(post() + bytes(2048))
    eventually(lambda: waiting(edge), "the upload waits")
    client = asked(edge)
    assert first.response().status == 502
    assert client.response().status == 200
    second.close()


def test_within_the_share_uploads_keep_their_turn(stage: Stage) -> None:
    """One of two connections works, the other waits for its client; then comes an upload, then a read."""
    release = threading.Event()

    def working(wire: Wire, number: int) -> None:
        if number == 1:
            wire.request()
            release.wait(WAIT)
            wire.send(ok())
        serve(wire, number)

    edge = stage_edge(stage, "connections: 1, stalled: 100%, timeouts: {connect: 1m}", working)
    busy = edge.connect()
    busy.send(READ)
    pool = edge.services.pools["legacy"]
    eventually(lambda: edge.call(lambda: pool.addresses[0].outstanding), "it is asked")
    upload = edge.connect()
    upload.send(post(4096) + bytes(2048))
    eventually(lambda: waiting(edge) == 1, "the upload waits")
    client = asked(edge)
    release.set()
    eventually(lambda: stalled(edge) == 1, "the upload has the connection")
    assert waiting(edge) == 1
    upload.close()
    assert client.response().status == 200


def test_after_requests_had_to_wait_no_upload_begins_beyond_the_share(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.stalled.CAUTION", 60.0)
    edge = stage_edge(stage, "connections: 2")
    first, second = uploading(edge), uploading(edge)
    assert edge.ask(READ).status == 200
    assert first.response().status == 502
    third = edge.connect()
    third.send(post() + bytes(2048))
    assert refused(third.response())
    assert edge.ask(READ).status == 200
    second.close()
    eventually(lambda: stalled(edge) == 0, "the share is free")
    uploading(edge).close()


def test_uploads_that_were_held_back_begin_when_the_caution_is_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.stalled.CAUTION", 0.5)
    edge = stage_edge(stage, "connections: 2, timeouts: {connect: 1m}")
    first, second = uploading(edge), uploading(edge)
    third = edge.connect()
    third.send(post(4096) + bytes(2048))
    eventually(lambda: waiting(edge) == 1, "the upload waits")
    assert edge.ask(READ).status == 200
    assert first.response().status == 502
    eventually(lambda: stalled(edge) == 2, "the upload has begun")
    assert waiting(edge) == 0
    second.close()
    third.close()


def test_a_backend_that_does_not_read_is_not_held_against_its_clients(stage: Stage) -> None:
    release = threading.Event()

    def late(wire: Wire, number: int) -> None:
        wire.read_until(b"\r\n\r\n")
        release.wait(WAIT)
        wire.read_exactly(BIG)
        wire.send(ok())

    edge = stage_edge(stage, "connections: 2, stalled: 0%, timeouts: {connect: 1s}", late)
    clients = [edge.connect() for _ in range(2)]
    for client in clients:
        client.send(post())
    senders = [threading.Thread(target=client.send, args=(bytes(BIG),)) for client in clients]
    for sender in senders:
        sender.start()
    pool = edge.services.pools["legacy"]
    full = lambda: all(item.full for item in edge.services.upstreams.items)  # noqa: E731
    eventually(
        lambda: edge.call(lambda: pool.addresses[0].outstanding) == 2 and edge.call(full), "both are full"
    )
    assert refused(edge.ask(READ))
    assert slow_clients(edge) == 0
    release.set()
    for client, sender in zip(clients, senders, strict=True):
        assert client.response().status == 200
        sender.join(WAIT)


def test_streams_without_news_are_not_slow_clients(stage: Stage) -> None:
    go_on = threading.Event()

    def events(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        go_on.wait(WAIT)
        wire.send(b"data: 2\n\n")

    edge = stage_edge(stage, "connections: 1, stalled: 0%, timeouts: {connect: 1s}", events)
    client = edge.connect()
    client.send(READ)
    client.read_until(b"data: 1\n\n")
    assert refused(edge.ask(READ))
    assert (stalled(edge), slow_clients(edge)) == (0, 0)
    go_on.set()
    client.read_until(b"data: 2\n\n")


def test_an_answer_that_is_taken_does_not_excuse_a_body_that_does_not_come(stage: Stage) -> None:
    """The backend answers early; its answer is taken in jerks while the rest of the body stays out."""

    def early(wire: Wire, number: int) -> None:
        if wire.read_until(b"\r\n\r\n").startswith(b"POST"):
            wire.send(WHOLE)
            while wire.sock.recv(65536):
                pass
        wire.send(ok())

    edge = stage_edge(stage, "connections: 1, stalled: 0%", early)
    client = uploading(edge)
    client.read_exactly(BIG // 2)
    eventually(lambda: stalled(edge) == 1, "it waits for the client still")
    assert edge.ask(READ).status == 200
    assert client.is_reset()


def test_time_at_work_makes_good_for_time_with_the_client(stage: Stage) -> None:
    """Of two that wait for their clients the one gives way that did nothing else, although it came later."""
    edge = stage_edge(stage, "connections: 2")
    worker, idler = uploading(edge), uploading(edge)

    def shift() -> None:
        """As if the first had been at work for most of the time."""
        first, second = edge.services.pools["legacy"].stalled._connections
        first.go_on()
        first.turned -= 100.0
        first.stall()
        second.turned -= 10.0

    edge.call(shift)
    assert edge.ask(READ).status == 200
    assert idler.response().status == 502
    assert slow_clients(edge) == 1
    worker.close()


def test_a_connection_owes_nothing_for_the_request_before(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 1")
    client = edge.connect()
    client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
    eventually(lambda: stalled(edge) == 1, "it waits for its client")

    def longer() -> None:
        (connection,) = edge.services.pools["legacy"].stalled._connections
        connection.turned -= 100.0

    edge.call(longer)
    left = len(WHOLE)  # its body: the head is longer here
    while left > 0:
        left -= len(client.sock.recv(1 << 20))
    pool = edge.services.pools["legacy"]
    eventually(lambda: edge.call(lambda: pool.addresses[0].idle), "its answer is whole")
    assert edge.call(lambda: pool.addresses[0].idle[0].waited) > 99.0
    uploading(edge)
    eventually(  # for a moment the kernel may take more of the upload, and nobody waits
        lambda: edge.call(lambda: [each.waited < 99.0 for each in pool.stalled._connections]) == [True],
        "it begins with nothing",
    )
