"""Connections that wait for their clients give way to others, at whatever rate these clients go on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from tests.edge.conftest import Stage
from tests.edge.crowd import Crowd, Slow
from tests.edge.harness import WAIT, Edge, Wire, eventually, ok

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
    monkeypatch.setattr("proxy.edge.stalled.PATIENCE", 0.2)


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


def stage_edge(stage: Stage, backend: str, script: object = serve) -> Edge:
    return stage.edge(stage.upstream(script).url, endpoints=ENDPOINTS, backend=backend, rest=SMALL)  # type: ignore[arg-type]


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
    monkeypatch.setattr("proxy.edge.stalled.PATIENCE", 1.0)
    edge = stage_edge(stage, f"connections: {CONNECTIONS}")
    with Crowd(edge.port, members):
        eventually(lambda: stalled(edge) > CONNECTIONS // 2, "they hold the connections")
        for _ in range(30):
            assert edge.ask(READ).status == 200
            time.sleep(0.02)
    assert slow_clients(edge)
