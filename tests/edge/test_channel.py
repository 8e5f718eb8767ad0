from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from proxy.core.wire.framing import FrameReader
from proxy.core.wire.messages import (
    Applied,
    Apply,
    Drain,
    FromControl,
    FromWorker,
    Hello,
    decode_from_worker,
    encode,
)
from proxy.edge.channel import ControlChannel

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on the loop of that name, with a deadline."""

    def runner(main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(10):
                await main()

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(bounded())

    return runner


class Control:
    """The other end, scripted: accepts connections one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.socket.setblocking(False)

    async def accept(self) -> Connection:
        connection, _ = await asyncio.get_running_loop().sock_accept(self.socket)
        connection.setblocking(False)
        return Connection(connection)

    def close(self) -> None:
        self.socket.close()
        self.path.unlink()


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.frames = FrameReader()
        self.waiting: list[bytes] = []

    async def hello(self) -> tuple[Hello, socket.socket]:
        """The first message and the listening socket that came with it."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
                break
            except BlockingIOError:
                await asyncio.sleep(0.005)
        self.waiting += self.frames.feed(data)
        message = await self.receive()
        assert isinstance(message, Hello)
        (fd,) = fds
        return message, socket.socket(fileno=fd)

    async def receive(self) -> FromWorker:
        while not self.waiting:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
            assert data, "the worker hung up"
            self.waiting += self.frames.feed(data)
        return decode_from_worker(self.waiting.pop(0))

    async def greeted(self, worker: Worker) -> Hello:
        """Hello, once the worker has also received something: from then on nothing it sends is dropped."""
        hello, listener = await self.hello()
        listener.close()
        await self.send(encode(Drain(1.0)))
        assert await worker.got.get() == Drain(1.0)
        return hello

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def ended(self) -> None:
        while await asyncio.get_running_loop().sock_recv(self.socket, 65536):
            pass


class Worker:
    def __init__(self, path: Path) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.got: asyncio.Queue[FromControl] = asyncio.Queue()
        self.hash = ""
        self.channel = ControlChannel(str(path), self.hello, self.listener, self.got.put_nowait)
        self.task = asyncio.create_task(self.channel.run())

    def hello(self) -> Hello:
        return Hello(3, 42, "inc", "test", self.hash)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.listener.close()


def test_hello_comes_first_and_carries_the_listening_socket(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        control, worker = Control(tmp_path / "c"), Worker(tmp_path / "c")
        connection = await control.accept()
        hello, listener = await connection.hello()
        assert hello == Hello(3, 42, "inc", "test")
        assert listener.getsockname() == worker.listener.getsockname()
        listener.close()
        connection.socket.close()
        await worker.close()
        control.close()

    run(main)


def test_messages_pass_both_ways_in_order(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        control, worker = Control(tmp_path / "c"), Worker(tmp_path / "c")
        connection = await control.accept()
        (await connection.hello())[1].close()
        config = {"endpoints": {f"GET /{number}": {"weight": 1} for number in range(20_000)}}
        await connection.send(encode(Apply("h1", 1, config)) + encode(Drain(2.0)))
        assert await worker.got.get() == Apply("h1", 1, config)
        assert await worker.got.get() == Drain(2.0)
        for number in range(100):
            worker.channel.send(Applied("h", number))
        assert [await connection.receive() for _ in range(100)] == [Applied("h", n) for n in range(100)]
        connection.socket.close()
        await worker.close()
        control.close()

    run(main)


def test_it_connects_again_when_the_control_process_comes_back(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        worker = Worker(tmp_path / "c")
        await asyncio.sleep(0)  # the first attempt finds nobody
        worker.channel.send(Applied("lost", 1))
        for generation in ("first", "second"):
            worker.hash = generation
            control = Control(tmp_path / "c")
            connection = await control.accept()
            assert (await connection.greeted(worker)).hash == generation
            worker.channel.send(Applied(generation, 1))
            assert await connection.receive() == Applied(generation, 1)
            connection.socket.close()
            control.close()
        await worker.close()

    run(main)


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\xff\xff\xff\xff", id="too large"),
        pytest.param(b"\0\0\0\2{}", id="no type"),
        pytest.param(encode(Applied("h", 1)), id="a worker's message"),
    ],
)
def test_garbage_from_control_ends_the_connection_and_it_tries_again(
    run: Run, tmp_path: Path, garbage: bytes
) -> None:
    async def main() -> None:
        control, worker = Control(tmp_path / "c"), Worker(tmp_path / "c")
        connection = await control.accept()
        (await connection.hello())[1].close()
        await connection.send(garbage)
        await connection.ended()
        again = await control.accept()
        hello, listener = await again.hello()
        assert hello.worker == 3
        assert worker.got.empty()
        listener.close()
        for each in (connection, again):
            each.socket.close()
        await worker.close()
        control.close()

    run(main)


def test_a_control_process_that_does_not_read_costs_bounded_memory(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        control, worker = Control(tmp_path / "c"), Worker(tmp_path / "c")
        connection = await control.accept()
        await connection.greeted(worker)
        message = Applied("x" * 1_000_000, 1)
        for _ in range(20):
            worker.channel.send(message)
        again = await control.accept()  # the worker hung up by itself
        (await again.hello())[1].close()
        for each in (connection, again):
            each.socket.close()
        await worker.close()
        control.close()

    run(main)


def test_a_foreign_control_process_gets_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who listens there is another user: neither Hello nor the listening socket is sent, and it is said."""
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)

    async def main() -> None:
        control = Control(tmp_path / "c")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            channel = ControlChannel(str(control.path), no_hello, listener, lambda message: None)
            running = asyncio.create_task(channel.run())
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(control.socket)
            with connection:
                connection.setblocking(False)
                assert await loop.sock_recv(connection, 100) == b""
            running.cancel()
            control.close()

    run(main)
    assert "is at the other end" in caplog.text


def no_hello() -> Hello:
    return Hello(0, os.getpid(), "inc", "test")
