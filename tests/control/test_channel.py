from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.control import channel as channel_module
from proxy.control.channel import MAX_PATH, ChannelServer, Link, Links
from proxy.control.errors import StartupError
from proxy.control.hearing import Hearing
from proxy.core.wire.messages import Applied, Drain, FromWorker, Hello, encode

HELLO = Hello(0, os.getpid(), "inc", "test")


class Recorder(Links):
    def __init__(self) -> None:
        self.links: list[Link] = []
        self.messages: list[FromWorker] = []
        self.lost: list[Link] = []
        self.changed = asyncio.Event()

    def on_hello(self, link: Link) -> None:
        self.links.append(link)
        self.changed.set()

    def on_message(self, link: Link, message: FromWorker) -> None:
        self.messages.append(message)
        self.changed.set()

    def on_lost(self, link: Link) -> None:
        link.listener.close()
        self.lost.append(link)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await self.changed.wait()
                self.changed.clear()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run(
    tmp_path: Path, scenario: Callable[[socket.socket, socket.socket, Recorder], Awaitable[None]]
) -> None:
    """Runs the scenario with a connected client socket, a socket to send, and the server's owner."""

    async def main() -> None:
        recorder = Recorder()
        server = ChannelServer(tmp_path / "c.sock", recorder, Hearing())
        server.start()
        with socket.socket(socket.AF_UNIX) as client, socket.create_server(("127.0.0.1", 0)) as listener:
            client.setblocking(False)
            client.connect(str(server.path))
            await scenario(client, listener, recorder)
        for link in recorder.links:
            link.abort()
        await recorder.until(lambda: len(recorder.lost) == len(recorder.links))
        await server.close()

    asyncio.run(main())


async def hung_up(client: socket.socket) -> bool:
    async with asyncio.timeout(5):
        try:
            return await asyncio.get_running_loop().sock_recv(client, 100) == b""
        except ConnectionResetError:
            return True


def test_hello_brings_the_listening_socket_and_what_follows_it(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        stream = encode(HELLO) + encode(Applied("h", 1)) + encode(Applied("h", 2))
        cut = len(stream) - 3
        socket.send_fds(client, [stream[:cut]], [listener.fileno()])
        await owner.until(lambda: owner.messages)
        client.send(stream[cut:])
        await owner.until(lambda: len(owner.messages) == 2)
        (link,) = owner.links
        assert link.hello == HELLO
        assert link.listener.getsockname() == listener.getsockname()
        assert owner.messages == [Applied("h", 1), Applied("h", 2)]

    run(tmp_path, scenario)


def test_hello_may_arrive_in_pieces(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        stream = encode(HELLO)
        socket.send_fds(client, [stream[:2]], [listener.fileno()])
        for index in range(2, len(stream)):
            await asyncio.sleep(0)
            client.send(stream[index : index + 1])
        await owner.until(lambda: owner.links)
        assert owner.links[0].hello == HELLO

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(encode(Applied("h", 1)), id="another message"),
        pytest.param(b"\0\0\0\2{}", id="no type"),
        pytest.param(b"\0\0\0\3\xff\xff\xff", id="no json"),
        pytest.param(b"\0\1\0\1", id="larger than a hello may be"),
    ],
)
def test_a_first_message_that_is_not_hello_is_hung_up_on_and_leaks_nothing(
    tmp_path: Path, first: bytes
) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        before = open_descriptors()
        socket.send_fds(client, [first], [listener.fileno()] * 3)
        assert await hung_up(client)
        assert not owner.links
        assert open_descriptors() <= before

    run(tmp_path, scenario)


def test_hello_without_a_socket_is_hung_up_on(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        client.send(encode(HELLO))
        assert await hung_up(client)
        assert not owner.links

    run(tmp_path, scenario)


def test_hello_with_something_that_does_not_listen_is_hung_up_on(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        with socket.socket() as idle:
            socket.send_fds(client, [encode(HELLO)], [idle.fileno()])
            assert await hung_up(client)
        assert not owner.links

    run(tmp_path, scenario)


def test_a_peer_that_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "HELLO_TIMEOUT", 0.05)

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        assert await hung_up(client)

    run(tmp_path, scenario)


def test_garbage_after_hello_ends_the_connection(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        socket.send_fds(client, [encode(HELLO)], [listener.fileno()])
        await owner.until(lambda: owner.links)
        client.send(b"\0\0\0\4nope")
        assert await hung_up(client)
        await owner.until(lambda: owner.lost)

    run(tmp_path, scenario)


def test_a_worker_that_reads_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_MESSAGE", 100_000)

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        socket.send_fds(client, [encode(HELLO)], [listener.fileno()])
        await owner.until(lambda: owner.links)
        for _ in range(100_000):
            owner.links[0].send(Drain(1.0))
        await owner.until(lambda: owner.lost)

    run(tmp_path, scenario)


def test_a_socket_left_by_a_killed_predecessor_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "c.sock"))

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        socket.send_fds(client, [encode(HELLO)], [listener.fileno()])
        await owner.until(lambda: owner.links)

    run(tmp_path, scenario)


def test_a_path_too_long_for_a_unix_socket_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / ("x" * MAX_PATH)
    with pytest.raises(StartupError, match=r"server\.runtime_dir: .* choose a shorter directory"):
        ChannelServer(path, Recorder(), Hearing()).start()


def test_of_many_that_say_nothing_the_oldest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MOST_SILENT", 3)

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        others = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in others:
            each.setblocking(False)
            each.connect(str(tmp_path / "c.sock"))
        assert await hung_up(client)
        socket.send_fds(others[-1], [encode(HELLO)], [listener.fileno()])
        await owner.until(lambda: owner.links)
        for each in others:
            each.close()

    run(tmp_path, scenario)


def test_a_process_that_says_it_is_another_one_is_hung_up_on(tmp_path: Path) -> None:
    """Whoever is named in Hello may be signalled: it must be the one that is there."""

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        bystander = Hello(0, os.getppid(), "inc", "test")
        socket.send_fds(client, [encode(bystander)], [listener.fileno()])
        assert await hung_up(client)
        assert not owner.links

    run(tmp_path, scenario)


def test_a_process_of_another_user_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = os.geteuid() + 1

    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: another)
        with contextlib.suppress(OSError):  # it may have hung up already
            socket.send_fds(client, [encode(HELLO)], [listener.fileno()])
        assert await hung_up(client)
        assert not owner.links

    run(tmp_path, scenario)


def test_the_socket_is_for_its_owner_only_from_its_first_moment(tmp_path: Path) -> None:
    async def scenario(client: socket.socket, listener: socket.socket, owner: Recorder) -> None:
        assert stat.S_IMODE((tmp_path / "c.sock").stat().st_mode) == 0o600

    run(tmp_path, scenario)
