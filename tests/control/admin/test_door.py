"""Who may keep the admin port waiting, for how long, and who makes room: with short limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.control import descriptors
from proxy.control.admin import door, server
from proxy.control.admin.busy import Busy
from proxy.control.admin.server import AdminServer
from proxy.control.descriptors import LEAST, MOST, share
from proxy.control.state import State

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SWEEP", 0.02)
    for what in door.LIMITS:
        monkeypatch.setitem(door.LIMITS, what, 0.3)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, text: bytes = HEALTH) -> bytes:
        """The first bytes of the answer; b"" if there is none."""
        self.writer.write(text)
        try:
            return await self.reader.read(4096)
        except ConnectionError:
            return b""

    async def ended(self) -> None:
        """Until the other side has ended it."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


class Served(NamedTuple):
    connect: Callable[[], Awaitable[Client]]
    connections: Collection[object]
    address: tuple[str, int]


@asynccontextmanager
async def served(state: State, cap: int = 8) -> AsyncIterator[Served]:
    clients: list[Client] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        address = sock.getsockname()
        admin = AdminServer(state, sock, cap)
        running = asyncio.create_task(admin.run())

        async def connect() -> Client:
            clients.append(Client(*await asyncio.open_connection(*address, limit=1024)))
            return clients[-1]

        try:
            async with asyncio.timeout(20):
                yield Served(connect, admin._server.server_state.connections, address)
        finally:
            for client in clients:
                client.writer.transport.abort()
            admin.stop()
            await running


KEEPS_WAITING = {
    "silence": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nx: ",
    "half a body": b"POST /api/v1/announce HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    "the rest of a body that nobody reads": HEALTH.replace(b"\r\n\r\n", b"\r\ncontent-length: 9\r\n\r\n{"),
}


@pytest.mark.parametrize("what", KEEPS_WAITING)
def test_nobody_keeps_the_port_waiting_for_long(state: State, what: str) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            client.writer.write(KEEPS_WAITING[what])
            await client.ended()

    asyncio.run(play())


def test_a_client_that_takes_nothing_of_its_answer_is_hung_up_on(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(64 * 1024 * 1024)})

    monkeypatch.setattr(server, "build", lambda *_, **__: large)

    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            assert await client.ask()
            assert site.connections
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while site.connections:  # noqa: ASYNC110 - the end of it does not show where nobody reads
                await asyncio.sleep(0.02)

    asyncio.run(play())


def test_requests_ahead_of_their_answers_get_one_answer(state: State) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            client.writer.write(HEALTH * 100)
            assert (await client.reader.read()).count(b"200 OK") == 1

    asyncio.run(play())


def test_neither_is_it_kept_waiting_for_a_second_request(state: State) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            assert b"200 OK" in await client.ask()
            client.writer.write(b"GET")
            await client.ended()

    asyncio.run(play())


def test_the_drip_of_a_head_does_not_prolong_it(state: State) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            ended = asyncio.create_task(client.ended())
            while not ended.done():
                client.writer.write(b"G")
                await asyncio.wait({ended}, timeout=0.05)

    asyncio.run(play())


def test_a_watched_page_stays(state: State) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            assert b"200 OK" in await client.ask(b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            silent = await site.connect()
            await silent.ended()  # the limit of a silent one is over
            another = await site.connect()
            assert b"200 OK" in await another.ask()
            assert not client.reader.at_eof()

    asyncio.run(play())


@pytest.mark.parametrize("text", [b"", b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"])
def test_at_the_cap_the_oldest_makes_room_for_the_newest(state: State, text: bytes) -> None:
    async def play() -> None:
        async with served(state, cap=4) as site:
            others = []
            for _ in range(4):
                others.append(await site.connect())
                if text:
                    await others[-1].ask(text)
            newest = await site.connect()
            assert b"200 OK" in await newest.ask()
            await others[0].ended()

    asyncio.run(play())


def test_one_that_asks_in_the_middle_of_a_silent_crowd_is_answered(state: State) -> None:
    async def play() -> None:
        async with served(state, cap=4) as site:
            with ExitStack() as stack:

                def come(says: bytes) -> socket.socket:
                    """Into the queue: nobody accepts meanwhile."""
                    sock = stack.enter_context(socket.create_connection(site.address))
                    sock.sendall(says)
                    sock.setblocking(False)
                    return sock

                says = [b"", b"GET /healthz HTTP/1.1\r\nx: "] * 15
                before = [come(each) for each in says]
                asks = come(HEALTH)
                assert before + [come(each) for each in says]
                assert b"200 OK" in await asyncio.get_running_loop().sock_recv(asks, 4096)

    asyncio.run(play())


def test_empty_lines_are_no_question(state: State) -> None:
    async def play() -> None:
        async with served(state) as site:
            client = await site.connect()
            client.writer.write(b"\r\n\r\n")
            await client.ended()

    asyncio.run(play())


def test_a_busy_port_refuses_work_but_never_health() -> None:
    async def play() -> None:
        working, go_on = asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/work":
                working.set()
                await go_on.wait()
            elif scope["path"] == "/body":
                await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        busy = Busy(app, 1)
        slow = asyncio.create_task(status(busy, "/body", go_on))
        await asyncio.sleep(0)
        first = asyncio.create_task(status(busy, "/work"))  # one that waits for its body is not counted
        await working.wait()
        assert await status(busy, "/other") == 503
        assert await status(busy, "/readyz") == 200
        go_on.set()
        assert await first == 200
        assert await slow == 200
        assert await status(busy, "/other") == 200

    async def status(app: ASGIApp, path: str, body: asyncio.Event | None = None) -> int:
        seen: list[int] = []

        async def receive() -> Message:
            if body is not None:
                await body.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(message["status"])

        scope = {"type": "http", "path": path, "method": "GET", "headers": []}
        await app(scope, receive, send)
        return seen[0]

    asyncio.run(play())


@pytest.mark.parametrize("limit", [64, 128, 256, 1024, 20_000])
def test_what_clients_may_open_leaves_some_descriptors(limit: int) -> None:
    cap = share(limit, 2)
    assert LEAST <= cap <= MOST
    if limit >= 128:
        own = descriptors.OWN + 2 * descriptors.PER_WORKER
        assert cap * descriptors.PER_CONNECTION + own <= limit
