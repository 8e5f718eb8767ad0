"""Clients that hold what they do not use: stalled bodies, a least rate, and tunnels."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = 24 * 1024 * 1024  # more than all buffers between a backend and a client
UPLOAD = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % BIG
ENDPOINTS = "GET /a: {weight: 0}\nGET /big: {weight: 0}\nPOST /w: {weight: 0}"
SMALL = "server: {buffers: {request: 1KiB, response: 4KiB}"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.upstream.stalled.PATIENCE", 0.2)
    monkeypatch.setattr("proxy.edge.client.transport.RATE_WINDOW", 0.4)


def serve(wire: Wire, number: int) -> None:
    """Uploads are read to their end, /big is big."""
    with contextlib.suppress(EOFError):
        while True:
            request = wire.request()
            wire.send(ok(bytes(BIG)) if request.startswith(b"GET /big") else ok())


def stage_edge(stage: Stage, backend: str = "connections: 2", limits: str = "") -> Edge:
    rest = f"{SMALL}, limits: {{{limits}}}}}"
    return stage.edge(stage.upstream(serve).url, endpoints=ENDPOINTS, backend=backend, rest=rest)


def stalled(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.pools["legacy"].stalled))


def uploading(edge: Edge) -> Wire:
    """A client that has sent enough of its body to be passed on, and stops."""
    before = stalled(edge)
    client = edge.connect()
    client.send(UPLOAD + bytes(2048))
    eventually(lambda: stalled(edge) > before, "the upload has stalled")
    return client


def downloading(edge: Edge) -> Wire:
    """A client that does not read its answer."""
    before = stalled(edge)
    client = edge.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
    eventually(lambda: stalled(edge) > before, "the download has stalled")
    return client


def errors(edge: Edge, kind: str, source: str = "client") -> int:
    return edge.call(lambda: edge.services.counters.errors[source, kind])


def test_stalled_uploads_give_way_when_others_wait_and_those_within_the_share_stay(stage: Stage) -> None:
    edge = stage_edge(stage)
    first, second = uploading(edge), uploading(edge)
    assert edge.ask(READ).status == 200
    answer = first.response()
    assert (answer.status, answer.header("x-proxy-error")) == (502, "source=client; kind=slow_client")
    assert b"may or may not have been executed" in answer.body
    assert edge.call(lambda: sum(edge.services.counters.unknown.values())) == 1
    assert edge.call(lambda: sum(edge.services.counters.own.values())) == 1, "the backend is not to blame"
    assert edge.ask(READ).status == 200
    assert errors(edge, "slow_client") == 1
    second.send(bytes(BIG - 2048))
    assert second.response().status == 200
    assert stalled(edge) == 0


def test_a_safe_upload_that_gives_way_may_be_sent_again(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 1, stalled: 0%")
    client = edge.connect()
    client.send(UPLOAD.replace(b"POST /w", b"GET /a") + bytes(2048))
    eventually(lambda: stalled(edge), "the upload has stalled")
    assert edge.ask(READ).status == 200
    answer = client.response()
    assert (answer.status, b"may or may not" in answer.body) == (408, False)


def test_what_a_client_breaks_after_a_part_was_sent_has_an_unknown_outcome(stage: Stage) -> None:
    edge = stage_edge(stage)
    client = edge.connect()
    body = b"800\r\n" + bytes(2048) + b"\r\n"
    client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    eventually(lambda: stalled(edge), "a part of it is on its way")
    client.send(b"no chunk\r\n")
    answer = client.response()
    assert answer.status == 400
    assert b"may or may not have been executed" in answer.body


def test_stalled_downloads_give_way_with_a_reset(stage: Stage) -> None:
    edge = stage_edge(stage)
    first, _second = downloading(edge), downloading(edge)
    assert edge.ask(READ).status == 200
    assert errors(edge, "slow_client") == 1
    assert first.is_reset()


def test_a_trickle_is_no_progress(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 1, stalled: 0%")
    client = uploading(edge)
    other = edge.connect()
    other.send(READ)
    with contextlib.suppress(OSError):
        for _ in range(200):
            client.send(b"x")
            if errors(edge, "slow_client"):
                break
            time.sleep(0.02)
    assert other.response().status == 200


def test_an_upload_within_the_share_keeps_its_connection_while_others_wait(stage: Stage) -> None:
    release = threading.Event()

    def busy(wire: Wire, number: int) -> None:
        """Nothing is read on the first connection until the upload on the other is there."""
        if number == 1:
            wire.request()
            release.wait(WAIT)
            wire.send(ok())
        serve(wire, number)

    rest = f"{SMALL}}}"
    backend = "connections: 2, timeouts: {connect: 2m}"
    edge = stage.edge(stage.upstream(busy).url, endpoints=ENDPOINTS, backend=backend, rest=rest)
    first = edge.connect()
    first.send(READ)
    pool = edge.services.pools["legacy"]
    eventually(lambda: edge.call(lambda: pool.addresses[0].outstanding), "the first is asked")
    client = uploading(edge)
    other = edge.connect()
    other.send(READ)
    eventually(lambda: edge.call(lambda: len(pool.waiting)), "another waits")
    pieces = 8
    for _ in range(pieces):
        client.send(bytes(2048))
        time.sleep(0.1)  # longer than the patience in all
    assert edge.call(lambda: len(pool.waiting)) == 1
    client.send(bytes(BIG - 2048 - pieces * 2048))
    release.set()
    assert [wire.response().status for wire in (first, client, other)] == [200] * 3
    assert errors(edge, "slow_client") == 0


def test_stalled_clients_are_left_alone_while_nobody_waits(stage: Stage) -> None:
    edge = stage_edge(stage, "connections: 20, stalled: 0%")
    first, second = uploading(edge), uploading(edge)
    for _ in range(10):
        assert edge.ask(READ).status == 200
        time.sleep(0.05)  # longer than the patience in all
    assert errors(edge, "slow_client") == 0
    for client in (first, second):
        client.send(bytes(BIG - 2048))
        assert client.response().status == 200


@pytest.mark.parametrize(("share", "left"), [("0%", 0), ("50%", 2), ("100%", 4)])
def test_the_share_is_a_setting(stage: Stage, share: str, left: int) -> None:
    edge = stage_edge(stage, f"connections: 4, stalled: {share}, timeouts: {{connect: 1s}}")
    clients = [uploading(edge) for _ in range(4)]
    others = [edge.connect() for _ in range(8)]
    for other in others:
        other.send(READ)
    statuses = {other.response().status for other in others}
    assert statuses == ({503} if left == 4 else {200})
    for _ in range(5 if left != 4 else 0):  # whoever is over the share gives way as long as others wait
        assert edge.ask(READ).status == 200
    assert len(clients) - errors(edge, "slow_client") >= left


def test_an_upload_below_the_least_rate_is_refused(stage: Stage) -> None:
    edge = stage_edge(stage, limits="min_rate: 100KiB")
    client = edge.connect()
    client.send(UPLOAD)
    with contextlib.suppress(OSError):
        for _ in range(500):
            client.send(bytes(100))  # 10 kB/s or less
            if errors(edge, "body_too_slow"):
                break
            time.sleep(0.01)
    answer = client.response()
    assert answer.header("x-proxy-error") == "source=client; kind=body_too_slow"
    assert answer.status == 502 if b"may or may not have been executed" in answer.body else 408


def test_an_upload_above_the_least_rate_is_served(stage: Stage) -> None:
    edge = stage_edge(stage, limits="min_rate: 1KiB")
    client = edge.connect()
    client.send(UPLOAD)
    for _ in range(24):
        client.send(bytes(BIG // 24))
        time.sleep(0.05)  # several windows in all
    assert client.response().status == 200


def test_a_reader_below_the_least_rate_is_ended(stage: Stage) -> None:
    edge = stage_edge(stage, limits="min_rate: 1MiB")
    client = downloading(edge)
    eventually(lambda: errors(edge, "slow_reader"), "it is ended")
    assert client.is_reset()


def test_a_slow_backend_is_not_held_against_the_client(stage: Stage) -> None:
    def slow(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            wire.read_until(b"\r\n\r\n")
            time.sleep(1.0)  # it does not read for more than two windows
            wire.read_exactly(BIG)
            wire.send(ok())

    rest = f"{SMALL}, limits: {{min_rate: 1MiB}}}}"
    edge = stage.edge(stage.upstream(slow).url, endpoints=ENDPOINTS, rest=rest)
    client = edge.connect()
    client.send(UPLOAD)
    client.sock.settimeout(WAIT)
    client.send(bytes(BIG))
    assert client.response().status == 200
    assert errors(edge, "body_too_slow") == 0


def test_by_default_a_slow_body_only_has_to_go_on(stage: Stage) -> None:
    edge = stage_edge(stage)
    client = edge.connect()
    client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n")
    for _ in range(20):
        client.send(b"x")
        time.sleep(0.05)
    assert client.response().status == 200


# tunnels

SWITCH = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def tunnelling(wire: Wire, number: int) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            if b"upgrade" not in wire.request().lower():
                wire.send(ok())
                continue
            wire.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while data := wire.sock.recv(65536):
                wire.send(data)
            return


def tunnels(edge: Edge) -> int:
    return edge.call(lambda: edge.services.pools["legacy"].tunnels)


def opened(edge: Edge) -> Wire:
    client = edge.connect()
    client.send(SWITCH)
    assert b" 101 " in client.read_until(b"\r\n\r\n")
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"
    return client


def test_tunnels_leave_the_connections_to_requests_and_have_a_limit_of_their_own(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(tunnelling).url, backend="connections: 1, tunnels: 2")
    first, second = opened(edge), opened(edge)
    assert edge.ask(READ).status == 200
    refused = edge.ask(SWITCH)
    assert (refused.status, refused.header("x-proxy-error")) == (503, "source=upstream; kind=no_tunnel")
    assert refused.header("retry-after") is not None
    assert edge.ask(READ).status == 200
    first.close()
    eventually(lambda: tunnels(edge) == 1, "the tunnel has ended")
    third = opened(edge)
    for client in (second, third):
        client.close()
    eventually(lambda: tunnels(edge) == 0, "all have ended")

    def balance() -> list[Any]:
        pool = edge.services.pools["legacy"]
        return [pool.connections, len(pool.addresses[0].idle), pool.addresses[0].outstanding]

    eventually(lambda: edge.call(balance) in ([1, 1, 0], [0, 0, 0]), "nothing is left over")


def test_by_default_as_many_tunnels_as_connections(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(tunnelling).url, backend="connections: 1")
    kept = opened(edge)
    assert edge.ask(SWITCH).status == 503
    assert edge.ask(READ).status == 200
    kept.close()


def test_a_tunnel_that_the_backend_grants_too_late_is_refused(stage: Stage) -> None:
    """Two ask at the same time for the last place: both are sent, one is granted."""
    edge = stage.edge(stage.upstream(tunnelling).url, backend="connections: 2, tunnels: 1")
    first, second = edge.connect(), edge.connect()
    first.send(SWITCH)
    second.send(SWITCH)
    heads = sorted(client.read_until(b"\r\n\r\n")[9:12] for client in (first, second))
    assert heads == [b"101", b"503"]
    assert edge.ask(READ).status == 200


def test_answers_are_as_ever_without_slow_clients(stage: Stage) -> None:
    edge = stage.edge(stage.upstream(answering(ok())).url, backend="connections: 1, stalled: 0%")
    assert [edge.ask(READ).status for _ in range(5)] == [200] * 5
