"""A process full of users: `python -m bench.crowd --port N`. Lines of JSON say what to do, and come back.

`{"do": "users", "count": 500}` opens or ends connections; `{"do": "pace", "think": 10}` changes the mean
pause; `{"do": "measure", "seconds": 5}` answers what happened in that time. It ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import resource
import socket
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop

from bench.crowd.mix import Asker, Book
from bench.crowd.user import Shared, Tally, User, content_length

OPENERS = 32  # connections that are being opened at a time
PER_ADDRESS = 5_000  # connections from one source address, of about 28,000 ports that it has
DRAIN = 20.0  # seconds that users who leave may wait for their last answer


class Crowd:
    def __init__(self, shared: Shared, port: int, process: int, rate: float) -> None:
        self.shared = shared
        self.port = port
        self.process = process
        self.rate = rate  # connections opened each second
        self.failed: dict[str, int] = {}
        self._numbers = iter(range(process, sys.maxsize, 64))  # no two processes have a user in common

    async def serve(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            command = json.loads(line)
            answer = await getattr(self, f"do_{command.pop('do')}")(**command)
            print(json.dumps(answer), flush=True)

    async def do_users(self, count: int) -> dict[str, Any]:
        """As many users as told; answers when all are there, and those that left have gone."""
        missing = count - len(self.shared.users)
        if missing < 0:
            await self._end(-missing)
        else:
            due = iter(islice(self._numbers, missing))
            start = self.shared.loop.time()
            self._opened = 0
            await asyncio.gather(*(self._open(due, start) for _ in range(OPENERS)))
        return {"users": len(self.shared.users), "failed": self.failed}

    async def do_pace(self, think: float) -> dict[str, Any]:
        self.shared.think = think
        for user in self.shared.users:
            user.think_anew()
        return {}

    async def do_ask(self, kind: str, times: int) -> dict[str, Any]:
        """One user more asks for one kind, without a pause; answers with the statuses, when all have come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        statuses: dict[str, int] = {}
        with contextlib.closing(writer):
            for _ in range(times):
                writer.write(self.shared.asker.draw(self.process, kind)[1])
                head = await reader.readuntil(b"\r\n\r\n")
                match = content_length(head)
                if match:
                    await reader.readexactly(int(match[1]))
                else:
                    await reader.readuntil(b"0\r\n\r\n")
                status = head[9:12].decode("latin-1")
                statuses[status] = statuses.get(status, 0) + 1
        return {"statuses": statuses}

    async def do_measure(self, seconds: float) -> dict[str, Any]:
        shared = self.shared
        tally = shared.tally = Tally()
        refused, start = shared.refused, shared.loop.time()
        await asyncio.sleep(seconds)
        now = shared.loop.time()
        shared.tally = Tally()
        lags = sorted(tally.lags)
        return {
            "seconds": now - start,
            "latencies": _milliseconds(tally.latencies),
            "waiting": _milliseconds(shared.waiting(now)),
            "errors": tally.errors,
            "lag_ms": round(lags[int(len(lags) * 0.99)] * 1e3, 2) if lags else 0.0,
            "received": tally.received,
            "users": len(shared.users),
            "lost": shared.refused - refused,
        }

    async def _open(self, numbers: Iterator[int], start: float) -> None:
        loop = self.shared.loop
        for number in numbers:
            self._opened += 1
            if (early := start + self._opened / self.rate - loop.time()) > 0:
                await asyncio.sleep(early)
            sock = socket.socket()
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.bind((self._source(len(self.shared.users)), 0))
                await asyncio.wait_for(loop.sock_connect(sock, ("127.0.0.1", self.port)), 30)
                await loop.create_connection(partial(User, self.shared, number), sock=sock)
            except OSError as error:
                sock.close()
                what = errno.errorcode.get(error.errno or 0, type(error).__name__)
                self.failed[what] = self.failed.get(what, 0) + 1

    async def _end(self, count: int) -> None:
        leaving = set(islice(self.shared.users, count))
        for user in leaving:
            user.leave()
        until = self.shared.loop.time() + DRAIN
        while leaving & self.shared.users and self.shared.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for user in leaving & self.shared.users:
            user.transport.abort()
        while leaving & self.shared.users:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _source(self, number: int) -> str:
        """127.1.PROCESS.n: the whole of 127.0.0.0/8 is this machine."""
        return f"127.1.{self.process % 250}.{1 + number // PER_ADDRESS}"


def _milliseconds(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    return {kind: [round(one * 1e3, 2) for one in found] for kind, found in seconds.items()}


async def run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    book = Book(()) if options.book is None else Book.of(json.loads(options.book.read_text()))
    asker = Asker(book, options.process, options.accept_encoding)
    crowd = Crowd(
        Shared(loop, asker, options.think, options.even), options.port, options.process, options.rate
    )
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await crowd.serve(reader)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crowd",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--book", type=Path, help="JSON printed by `python -m legacy_flask seed`")
    parser.add_argument("--process", type=int, default=0, help="number of this process, from 0")
    parser.add_argument("--think", type=float, default=10.0, help="seconds between two requests, on average")
    parser.add_argument("--even", action="store_true", help="pauses of 0.5 to 1.5 of that; else exponential")
    parser.add_argument("--rate", type=float, default=1000.0, help="connections opened each second")
    parser.add_argument("--accept-encoding", default="")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
