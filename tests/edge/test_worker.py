"""A worker: configurations in, figures out, drain. As processes they are tested in tests/control."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.framing import FrameReader
from proxy.core.wire.messages import (
    Applied,
    Apply,
    Drain,
    Drained,
    FromControl,
    FromWorker,
    Hello,
    Refused,
    Stats,
    decode_from_worker,
    encode,
)
from proxy.edge import applying
from proxy.edge.worker import REPORT, Worker
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Wire, answering, eventually, ok

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Control:
    """The control process: one worker in a thread, and the channel to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server = self._listen()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        given = self.listener.dup()
        given.setblocking(False)
        self.thread = threading.Thread(target=self._run, args=(str(path), given), daemon=True)
        self.thread.start()
        self._channel, _ = self._server.accept()
        self._channel.settimeout(WAIT)
        self._frames = FrameReader()
        self._waiting: list[bytes] = []

    def _listen(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self._path))
        server.listen()
        server.settimeout(WAIT)
        return server

    def _run(self, path: str, listener: socket.socket) -> None:
        async def main() -> None:
            await Worker(asyncio.get_running_loop(), 7, path, listener).run()

        uvloop.run(main())

    def say(self, message: FromControl) -> None:
        self._channel.sendall(encode(message))

    def hear(self, *, skip: type[FromWorker] = Stats) -> FromWorker:
        """The next message that is not one of `skip`."""
        while True:
            while not self._waiting:
                data = self._channel.recv(65536)
                assert data, "the worker hung up"
                self._waiting += self._frames.feed(data)
            message = decode_from_worker(self._waiting.pop(0))
            if not isinstance(message, skip):
                return message

    def configure(self, url: str, generation: int = 1, **server: object) -> None:
        document = {
            "server": server,
            "backends": {"legacy": {"url": url}, "async": {"url": url}},
            "endpoints": {},
        }
        self.say(Apply(f"h{generation}", generation, document))

    def connect(self) -> Wire:
        return Wire(socket.create_connection(("127.0.0.1", self.port), timeout=WAIT))

    def die(self) -> None:
        """As a control process that is killed: nobody listens any more."""
        self._server.close()
        self._path.unlink()
        self._channel.close()

    def come_back(self) -> None:
        self._server = self._listen()
        self._channel, _ = self._server.accept()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.say(Drain(0.0))
        self.thread.join(WAIT)
        for sock in (self._channel, self._server, self.listener):
            sock.close()
        assert not self.thread.is_alive()


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path / "c")
    try:
        yield control
    finally:
        control.close()


def answered(client: Wire) -> bytes:
    client.send(READ)
    return client.response().body


def test_it_serves_from_its_first_configuration_on(control: Control, stage: Stage) -> None:
    hello = control.hear()
    assert isinstance(hello, Hello)
    assert (hello.worker, hello.hash, hello.generation) == (7, "", 0)
    with contextlib.closing(control.connect()) as client:
        client.send(READ)  # waits in the queue of the listening socket
        control.configure(stage.upstream().url)
        applied = control.hear()
        assert isinstance(applied, Applied)
        assert applied.generation == 1
        assert client.response().body == b"ok"


def test_a_configuration_that_it_can_not_apply_is_refused_and_the_last_good_one_serves_on(
    control: Control, stage: Stage
) -> None:
    control.hear()
    control.configure(stage.upstream(answering(ok(b"good"))).url)
    assert isinstance(control.hear(), Applied)
    control.say(Apply("bad", 2, {"backends": {"legacy": {"url": "nonsense://"}}}))
    refused = control.hear()
    assert isinstance(refused, Refused)
    assert (refused.hash, refused.generation) == ("bad", 2)
    assert refused.error
    with contextlib.closing(control.connect()) as client:
        assert answered(client) == b"good"
        control.configure(stage.upstream(answering(ok(b"better"))).url, 3)
        assert isinstance(control.hear(), Applied)
        assert answered(client) == b"better"


def test_requests_are_answered_while_a_configuration_is_compiled(
    control: Control, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_meanwhile = threading.Event()
    compiled = applying.compile_in_slices

    def slow(document: dict[str, Any], hash: str) -> Iterator[Snapshot | None]:
        while not answered_meanwhile.is_set():
            yield None
        yield from compiled(document, hash)

    control.hear()
    control.configure(stage.upstream(answering(ok(b"before"))).url)
    assert isinstance(control.hear(), Applied)
    monkeypatch.setattr(applying, "compile_in_slices", slow)
    control.configure(stage.upstream(answering(ok(b"after"))).url, 2)
    with contextlib.closing(control.connect()) as client:
        assert answered(client) == b"before"
        answered_meanwhile.set()
        assert isinstance(control.hear(), Applied)
        assert answered(client) == b"after"


def test_it_takes_the_state_that_the_instance_was_started_with(
    control: Control, stage: Stage, tmp_path: Path
) -> None:
    """A SQLite file that is there is opened at once; its incarnations come into being beside it."""
    for name in ("started", "edited"):
        (tmp_path / f"{name}.claims.db").touch()
    url = stage.upstream().url
    server = {"state": f"sqlite:///{tmp_path}/edited.db"}
    document = {
        "server": server,
        "backends": {"legacy": {"url": url}, "async": {"url": url}},
        "endpoints": {},
    }
    control.say(Apply("h", 1, document, f"sqlite:///{tmp_path}/started.db"))
    eventually((tmp_path / "started.claims.incarnations" / ".file").exists)
    assert not (tmp_path / "edited.claims.incarnations").exists()


def test_it_reports_what_it_counted(control: Control, stage: Stage) -> None:
    control.hear()
    control.configure(stage.upstream().url)
    assert isinstance(control.hear(), Applied)
    with contextlib.closing(control.connect()) as client:
        answered(client)
        answered(client)
        counted = 0
        while counted < 2:
            stats = control.hear(skip=Hello)
            assert isinstance(stats, Stats)
            counted = sum(row.count for row in stats.requests)
        assert stats.connections == 1


def test_drain_finishes_what_is_under_way_and_then_ends_the_worker(control: Control, stage: Stage) -> None:
    received, go = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        go.wait(WAIT)
        wire.send(ok(b"done"))

    control.hear()
    control.configure(stage.upstream(serve).url)
    assert isinstance(control.hear(), Applied)
    with contextlib.closing(control.connect()) as idle, contextlib.closing(control.connect()) as busy:
        busy.send(READ)
        assert received.wait(WAIT)
        control.say(Drain(WAIT))
        assert idle.read_all() == b""
        go.set()
        response = busy.response()
        assert (response.body, response.header("connection")) == (b"done", "close")
        assert busy.read_all() == b""
    assert isinstance(control.hear(), Drained)
    control.thread.join(WAIT)
    assert not control.thread.is_alive()


def test_drain_ends_in_time_whatever_is_under_way(control: Control, stage: Stage) -> None:
    received = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        wire.read_all()

    control.hear()
    control.configure(stage.upstream(serve).url)
    assert isinstance(control.hear(), Applied)
    with contextlib.closing(control.connect()) as busy:
        busy.send(READ)
        assert received.wait(WAIT)
        control.say(Drain(0.1))
        assert isinstance(control.hear(), Drained)
        control.thread.join(WAIT)
        assert not control.thread.is_alive()


def test_drain_before_the_first_configuration_ends_it_at_once(control: Control) -> None:
    control.hear()
    control.say(Drain(WAIT))
    control.thread.join(WAIT)
    assert not control.thread.is_alive()


@pytest.mark.parametrize("orphan", ["1s", 0])
def test_a_worker_without_a_control_process_serves_on_and_ends_only_if_so_set(
    control: Control, stage: Stage, orphan: object
) -> None:
    control.hear()
    url = stage.upstream().url
    control.configure(url, timeouts={"orphan": orphan, "drain": "1s"})
    assert isinstance(control.hear(), Applied)
    with contextlib.closing(control.connect()) as client:
        control.die()
        assert answered(client) == b"ok"
        if orphan:
            control.thread.join(WAIT)
            assert not control.thread.is_alive()
            assert client.read_all() == b""
            return
        for _ in range(3):  # as many reports as end the other one
            control.thread.join(REPORT)
            assert answered(client) == b"ok"
        control.come_back()
