"""Real workers under what wears processes out: huge bodies, no descriptors left, long-lived connections."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.cli.conftest import MakeSite
from tests.cli.real_site import RealSite
from tests.edge.harness import Script, Wire
from tests.support.waiting import eventually

MIB = 1024 * 1024
SIZE = 256 * MIB
GROWTH = 32 * MIB
BLOCK = b"x" * (256 * 1024)
GET = b"GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n"


def answer(wire: Wire, number: int) -> None:
    """A download for GET /big, for a PUT how much came, else `ok`."""
    with contextlib.suppress(EOFError):
        while True:
            head = wire.read_until(b"\r\n\r\n")
            if head.startswith(b"GET /big"):
                wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
                for _ in range(SIZE // len(BLOCK)):
                    wire.send(BLOCK)
            elif head.startswith(b"PUT"):
                received = drain(wire, SIZE)
                wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%d" % (len(str(received)), received))
            else:
                wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def drain(wire: Wire, size: int) -> int:
    """Reads that many bytes of body without keeping them."""
    received, wire.buffer = len(wire.buffer), b""
    while received < size:
        data = wire.sock.recv(len(BLOCK))
        if not data:
            break
        received += len(data)
    return received


@pytest.fixture
def site(make_real_site: MakeSite) -> Iterator[RealSite]:
    script = Script(answer)
    yield make_real_site(script.port, script.port)
    script.close()


def client(site: RealSite) -> Wire:
    return Wire(socket.create_connection(("127.0.0.1", site.data), timeout=20))


def one_worker(site: RealSite, **more: str) -> int:
    """Starts with a single worker; its pid."""
    site.write(weight=0, workers=1)
    for old, new in more.items():
        site.config.write_text(site.config.read_text().replace(f"{old}:", f"{new}\n  {old}:"))
    site.start()
    eventually(lambda: site.settled(workers=1), "the worker serves")
    return site.pids(site.state())[0]


def peak(pid: int) -> int:
    """The most resident memory that the process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def test_hundreds_of_mebibytes_pass_both_ways_in_constant_memory(site: RealSite) -> None:
    pid = one_worker(site)
    with contextlib.closing(client(site)) as wire:
        wire.send(GET)
        assert wire.response().status == 200
        before = peak(pid)
        wire.send(b"GET /big HTTP/1.1\r\nhost: a.example\r\n\r\n")
        assert b" 200 " in wire.read_until(b"\r\n\r\n")
        assert drain(wire, SIZE) == SIZE
        wire.send(b"PUT /big HTTP/1.1\r\nhost: a.example\r\ncontent-length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(BLOCK)):
            wire.send(BLOCK)
        assert wire.response("PUT").body == b"%d" % SIZE
    assert peak(pid) - before < GROWTH


def test_without_descriptors_connections_go_on_and_accepting_resumes(site: RealSite) -> None:
    pid = one_worker(site, timeouts="limits: {connections: 10000}")
    opened = Path(f"/proc/{pid}/fd")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.closing(client(site)))
        first.send(GET)
        assert first.response().status == 200
        limit = len(os.listdir(opened)) + 5
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
        waiting = [stack.enter_context(contextlib.closing(client(site))) for _ in range(20)]
        eventually(lambda: "not accepting connections: Too many open files" in site.log(), "it pauses")
        for _ in range(20):
            first.send(GET)
            assert first.response().status == 200
        for wire in waiting[:15]:
            wire.close()
        waiting[-1].send(GET)
        assert waiting[-1].response().status == 200, "the one that waited longest in the queue"


def test_connections_spread_over_the_workers(site: RealSite) -> None:
    site.up()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            wire = stack.enter_context(contextlib.closing(client(site)))
            wire.send(GET)
            assert wire.response().status == 200
        eventually(lambda: sum(_connections(site)) == 200, "all are counted")
        print(f"of 200 connections each worker has {_connections(site)}")  # shown by pytest -s
        assert min(_connections(site)) >= 20


def _connections(site: RealSite) -> list[int]:
    workers = site.state()["workers"]
    assert isinstance(workers, list)
    return [worker["connections"] for worker in workers]


def test_a_websocket_goes_on_while_the_proxy_drains(site: RealSite) -> None:
    with serve(lambda connection: [connection.send(each) for each in connection], "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            site.ports = (server.socket.getsockname()[1],) * 2
            site.write(weight=0)
            control = site.up()
            with connect(f"ws://127.0.0.1:{site.data}/a", proxy=None) as websocket:
                control.terminate()
                eventually(lambda: site.get("/readyz").status_code == 503, "it drains")
                websocket.send("still there")
                assert websocket.recv(timeout=10) == "still there"
            assert control.wait(20) == 0
        finally:
            server.shutdown()
            thread.join()
