"""Taking connections off a listening socket that several workers share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import types
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import pytest

from proxy.edge.client.accept import Acceptor
from proxy.edge.client.http1 import ClientConnection
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, eventually

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def clients(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.clients.items))


def answered(client: Wire) -> bool:
    client.send(READ)
    return client.response().status == 200


def test_at_the_cap_connections_wait_in_the_queue_until_one_leaves(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.crowd.GRACE", 60.0)  # nobody makes room
    edge = stage.edge(stage.upstream().url, rest="server: {limits: {connections: 2}}")
    with contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(contextlib.closing(edge.connect())) for _ in range(3))
        assert answered(first)
        assert answered(second)
        third.send(READ)
        eventually(lambda: edge.call(lambda: not edge.acceptor._watching), "accepting paused")
        assert clients(edge) == 2
        first.close()
        assert third.response().status == 200
        assert answered(second)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_out_of_descriptors_it_serves_on_and_accepts_again_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    edge = stage.edge(stage.upstream().url)
    with contextlib.closing(edge.connect()) as known:
        assert answered(known)
        listener = edge.acceptor._listener
        broken = Broken(listener, code)
        monkeypatch.setattr(edge.acceptor, "_listener", broken)
        with contextlib.closing(edge.connect()) as waiting:
            waiting.send(READ)
            eventually(lambda: broken.failed >= 2, "tried, paused and tried again")
            assert answered(known)
            broken.code = 0
            assert waiting.response().status == 200


class Broken:
    """A listening socket whose accept fails with `code` while that is not 0."""

    def __init__(self, listener: socket.socket, code: int) -> None:
        self._listener = listener
        self.code = code
        self.failed = 0

    def fileno(self) -> int:
        return self._listener.fileno()

    def _accept(self) -> tuple[int, object]:
        if self.code:
            self.failed += 1
            raise OSError(self.code, "no more")
        descriptor, address = cast(Any, self._listener)._accept()
        return descriptor, address


@pytest.mark.parametrize("error", [BlockingIOError, InterruptedError, ConnectionAbortedError])
def test_a_client_that_another_worker_took_or_that_left_is_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    edge = stage.edge(stage.upstream().url)
    broken = Broken(edge.acceptor._listener, error().errno or errno.EAGAIN)
    monkeypatch.setattr(edge.acceptor, "_listener", broken)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        eventually(lambda: broken.failed, "failed once")
        broken.code = 0
        assert client.response().status == 200


class Turns:
    """An event loop that turns when it is told to: one call of the reader is one wake-up."""

    def __init__(self, *failures: str) -> None:
        """The first connections fail when they are "opened" or when they are "made", as `failures` says."""
        self.reader: Callable[[], None] | None = None
        self.soon: list[Callable[[], None]] = []
        self.opened: list[int] = []  # descriptors that now belong to transports
        self._failures = list(failures)

    def add_reader(self, _: int, reader: Callable[[], None]) -> None:
        self.reader = reader

    def call_soon(self, callback: Callable[..., None], *arguments: object) -> None:
        self.soon.append(functools.partial(callback, *arguments))

    async def connect_accepted_socket(self, _: object, sock: socket.socket) -> None:
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "opened":
            raise OSError(errno.EINVAL, "gone")
        self.opened.append(sock.fileno())
        await made()
        if failure == "made":
            raise RuntimeError("closed before it was made")

    def wake(self) -> None:
        assert self.reader is not None
        self.reader()

    def turn(self) -> None:
        while self.soon:
            self.soon.pop(0)()


@types.coroutine
def made() -> Generator[None, None, None]:
    yield


@contextlib.contextmanager
def queue_of(loop: Turns, clients: int, held: int = 0) -> Iterator[tuple[Acceptor, list[socket.socket]]]:
    """An acceptor on `loop` that holds connections already, and `clients` more in its socket's queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, contextlib.ExitStack() as stack:
        listener.setblocking(False)
        address = listener.getsockname()
        waiting = [stack.enter_context(socket.create_connection(address, WAIT)) for _ in range(clients)]
        acceptor = Acceptor(
            cast(Any, loop), listener, lambda _: asyncio.Protocol(), lambda: held, lambda: 20_000
        )
        acceptor.start()
        try:
            yield acceptor, waiting
        finally:
            for descriptor in loop.opened:
                os.close(descriptor)


@pytest.mark.parametrize(("held", "taken"), [(0, 1), (15, 1), (160, 11), (10_000, 64)])
def test_a_worker_with_many_connections_takes_more_at_once(held: int, taken: int) -> None:
    """Its turns are long: with one each, new clients waited for seconds behind a thousand busy ones."""
    loop = Turns()
    with queue_of(loop, 80, held) as (acceptor, _):
        loop.wake()
        assert acceptor.adopting == taken
        loop.turn()
        assert acceptor.adopting == 0
        assert len(loop.opened) == taken


def test_a_connection_that_can_not_be_opened_is_closed_and_the_next_is_taken() -> None:
    loop = Turns("opened")
    with queue_of(loop, 2, 100) as (acceptor, waiting):
        loop.wake()
        assert acceptor.adopting == 1
        assert waiting[0].recv(1) == b""
        loop.turn()
        assert acceptor.adopting == 0


def test_a_connection_that_is_lost_while_it_is_made_does_not_take_others_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Turns("made")
    with queue_of(loop, 2, 100) as (acceptor, _):
        loop.wake()
        loop.turn()
        assert acceptor.adopting == 0
        assert "an accepted connection was lost" in caplog.text
        assert len(loop.opened) == 2


def test_after_stop_nothing_is_accepted_and_what_is_there_is_served(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    with contextlib.closing(edge.connect()) as known:
        assert answered(known)
        edge.call(edge.acceptor.stop)
        edge.call(edge.acceptor.start)  # a pause that ends later must not undo it
        with contextlib.closing(edge.connect()):
            assert answered(known)
            assert clients(edge) == 1


def test_clients_that_reset_at_once_leave_nothing_behind(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    for _ in range(50):
        edge.connect().reset()
    assert edge.ask(READ).status == 200
    eventually(lambda: clients(edge) == 0, "clients gone")
    assert edge.call(lambda: edge.acceptor.adopting) == 0


def test_every_descriptor_is_closed_once_with_its_connection(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    assert edge.ask(READ).status == 200  # opens a connection to the upstream, which stays
    eventually(lambda: clients(edge) == 0, "client gone")
    before = edge.call(lambda: len(os.listdir("/proc/self/fd")))
    for _ in range(20):
        assert edge.ask(READ).status == 200
    eventually(lambda: edge.call(lambda: len(os.listdir("/proc/self/fd"))) == before, "descriptors closed")


def test_a_client_over_ipv6_is_served(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        listener.setblocking(False)
        client = functools.partial(ClientConnection, edge.services)
        acceptor = Acceptor(edge.services.loop, listener, cast(Any, client), lambda: 0, lambda: 1)
        edge.call(acceptor.start)
        with contextlib.closing(Wire(socket.create_connection(listener.getsockname()[:2], WAIT))) as known:
            assert answered(known)
        edge.call(acceptor.stop)
    assert b"\r\nx-forwarded-for: ::1\r\n" in upstream.requests[0]


def test_a_connection_leaves_no_task_behind(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    for _ in range(5):
        assert edge.ask(READ).status == 200
    eventually(lambda: edge.stats().tasks == 0, "no task is left")


def test_work_under_way_is_a_task_that_is_counted(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    stop = edge.call(asyncio.Event)

    async def wait() -> None:
        await stop.wait()

    edge.call(lambda: edge.services.writes.spawn(wait(), lambda: None))
    assert edge.stats().tasks == 1
    edge.call(stop.set)
    eventually(lambda: edge.stats().tasks == 0, "it has ended")
