"""Adds a wait to every answer of a server: `python -m bench.headline.relay --route 6432=/run/.s.PGSQL.5432`.

Loopback answers in microseconds; a database across a network, with disks and work to do, does not. Each piece
of an answer is passed on a stated time after it came, in order. Nothing queues for anything else: a thousand
connections wait side by side. `{"wait": 0.05}` on standard input changes the time, in seconds; the reply is
how many round trips each route has had. It ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from typing import cast

import uvloop

HELD = 1 << 20  # bytes of answers on their way of one connection; beyond that its server is not read


class Route:
    """One port, and the server behind it: a path, or a port of this machine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, server: str) -> None:
        self.loop = loop
        self.port = port
        self.server = server
        self.wait = 0.0
        self.trips = 0  # times that a client has asked and the server answered

    async def listen(self) -> None:
        await self.loop.create_server(lambda: Client(self), "127.0.0.1", self.port, backlog=4096)

    async def connect(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        if self.server.startswith("/"):
            await self.loop.create_unix_connection(protocol, self.server)
        else:
            await self.loop.create_connection(protocol, "127.0.0.1", int(self.server))


class Client(asyncio.Protocol):
    """The side that asks. What it sends goes on at once."""

    transport: asyncio.Transport

    def __init__(self, route: Route) -> None:
        self.route = route
        self.server: Server | None = None
        self.asking = False
        self._early = b""
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.route.loop.create_task(self._connect()).add_done_callback(lambda _: None)

    async def _connect(self) -> None:
        try:
            await self.route.connect(lambda: Server(self))
        except OSError:
            self.transport.abort()

    def connected(self, server: Server) -> None:
        self.server = server
        if self._gone:
            server.transport.close()
        elif self._early:
            server.transport.write(self._early)
            self._early = b""

    def data_received(self, data: bytes) -> None:
        self.asking = True
        if self.server is None:
            self._early += data
        else:
            self.server.transport.write(data)

    def pause_writing(self) -> None:
        if self.server is not None:
            self.server.hold(True)

    def resume_writing(self) -> None:
        if self.server is not None:
            self.server.hold(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self.server is not None:
            self.server.transport.close()


class Server(asyncio.Protocol):
    """The side that answers. What it sends waits."""

    transport: asyncio.Transport

    def __init__(self, client: Client) -> None:
        self.client = client
        self._due: deque[bytes] = deque()  # all wait equally long, so they fall due in order
        self._held = 0
        self._slow = False  # the client does not read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.client.connected(self)

    def data_received(self, data: bytes) -> None:
        route = self.client.route
        if self.client.asking:
            self.client.asking = False
            route.trips += 1
        if not route.wait and not self._due:
            self.client.transport.write(data)
            return
        self._due.append(data)
        self._held += len(data)
        if self._held > HELD:
            self.transport.pause_reading()
        route.loop.call_later(route.wait, self._release)

    def _release(self) -> None:
        data = self._due.popleft()
        self._held -= len(data)
        self.client.transport.write(data)
        if not self._slow and self._held <= HELD:
            self.transport.resume_reading()

    def hold(self, slow: bool) -> None:
        self._slow = slow
        if slow:
            self.transport.pause_reading()
        elif self._held <= HELD:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.client.transport.pause_reading()

    def resume_writing(self) -> None:
        self.client.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.route.loop.call_later(self.client.route.wait, self.client.transport.close)


async def run(routes: list[tuple[int, str]]) -> None:
    loop = asyncio.get_running_loop()
    open_ = [Route(loop, port, server) for port, server in routes]
    await asyncio.gather(*(route.listen() for route in open_))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({}), flush=True)  # listening
    while line := await reader.readline():
        command = json.loads(line)
        for route in open_:
            route.wait = command.get("wait", route.wait)
        print(json.dumps({str(route.port): route.trips for route in open_}), flush=True)


def route(text: str) -> tuple[int, str]:
    port, _, server = text.partition("=")
    if not port.isdecimal() or not (server.isdecimal() or server.startswith("/")):
        raise argparse.ArgumentTypeError(f"{text!r} is not PORT=PORT or PORT=/path")
    return int(port), server


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--route", type=route, action="append", required=True, metavar="PORT=SERVER")
    uvloop.run(run(parser.parse_args().route))


if __name__ == "__main__":
    main()
