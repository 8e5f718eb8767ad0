"""Taking connections off a listening socket that several workers share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from proxy.edge.accept import Acceptor
from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Wire, eventually

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def clients(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.clients.items))


def answered(client: Wire) -> bool:
    client.send(READ)
    return client.response().status == 200


def test_at_the_cap_connections_wait_in_the_queue_until_one_leaves(stage: Stage) -> None:
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

    def accept(self) -> tuple[socket.socket, object]:
        if self.code:
            self.failed += 1
            raise OSError(self.code, "no more")
        return self._listener.accept()


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

    def __init__(self) -> None:
        self.reader: Callable[[], None] | None = None

    def add_reader(self, _: int, reader: Callable[[], None]) -> None:
        self.reader = reader

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        work.close()
        return asyncio.Future(loop=asyncio.new_event_loop())

    def wake(self) -> None:
        assert self.reader is not None
        self.reader()


@pytest.mark.parametrize(("held", "taken"), [(0, 1), (15, 1), (160, 11), (10_000, 64)])
def test_a_worker_with_many_connections_takes_more_at_once(held: int, taken: int) -> None:
    """Its turns are long: with one each, new clients waited for seconds behind a thousand busy ones."""
    loop = Turns()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, contextlib.ExitStack() as waiting:
        listener.setblocking(False)
        for _ in range(80):
            waiting.enter_context(socket.create_connection(listener.getsockname()))
        acceptor = Acceptor(cast(Any, loop), listener, asyncio.Protocol, lambda: held, lambda: 20_000)
        acceptor.start()
        loop.wake()
        assert len(acceptor.adopting) == taken


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
    assert edge.call(lambda: len(edge.acceptor.adopting)) == 0


def test_a_connection_leaves_no_task_behind(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    for _ in range(5):
        assert edge.ask(READ).status == 200
    eventually(lambda: edge.call(edge.services.stats).tasks == 0, "no task is left")


def test_work_under_way_is_a_task_that_is_counted(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url)
    stop = edge.call(asyncio.Event)

    async def wait() -> None:
        await stop.wait()

    edge.call(lambda: edge.services.writes.spawn(wait(), lambda: None))
    assert edge.call(edge.services.stats).tasks == 1
    edge.call(stop.set)
    eventually(lambda: edge.call(edge.services.stats).tasks == 0, "it has ended")
