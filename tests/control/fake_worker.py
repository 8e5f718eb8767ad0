"""A worker that speaks the channel's protocol for real and answers HTTP in the simplest way.

`GET /` answers `<pid> <hash>`, `GET /state` `<pid> <server.state>`; `GET /slow` as the first, after
the file FAKE_GATE exists. Set by the environment: FAKE_DIE=1, or the file FAKE_GATE.die, exits at once;
FAKE_REFUSE=1 refuses every snapshot; FAKE_STUCK=1 ignores Drain.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import uuid

from proxy.core.evidence.stats import BOUNDS
from proxy.core.wire.messages import (
    Applied,
    Apply,
    Drain,
    Drained,
    FromControl,
    Hello,
    Latency,
    Refused,
    Requests,
    Stats,
)
from proxy.edge.channel import ControlChannel


class FakeWorker:
    def __init__(self, number: int, channel: str, fd: int) -> None:
        self.number = number
        self.incarnation = uuid.uuid4().hex
        self.listener = socket.socket(fileno=fd)
        self.channel = ControlChannel(channel, self.hello, self.listener, self.on_message)
        self.hash = ""
        self.state = ""
        self.generation = 0
        self.requests = 0
        self.busy = 0
        self.drain = asyncio.Event()

    def hello(self) -> Hello:
        return Hello(
            self.number, os.getpid(), self.incarnation, "test", self.hash, self.generation, self.state
        )

    def on_message(self, message: FromControl) -> None:
        match message:
            case Apply():
                if os.environ.get("FAKE_REFUSE"):
                    self.channel.send(Refused(message.hash, message.generation, "the test wants it so"))
                    return
                self.hash, self.generation = message.hash, message.generation
                self.state = message.state
                self.channel.send(Applied(message.hash, message.generation))
            case Drain() if not os.environ.get("FAKE_STUCK"):
                self.drain.set()

    def stats(self) -> Stats:
        counts = [0] * (len(BOUNDS) + 1)
        counts[10] = self.requests
        return Stats(
            connections=self.busy,
            requests=[Requests("GET /a", "legacy", "weight", 200, self.requests)],
            latencies=[Latency("GET /a", "legacy", counts, 0.001 * self.requests)],
            proxy_errors=[],
            retries=[],
            outcome_unknown=[],
            dropped=[],
            breakers=[],
        )

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.busy += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            while b"/slow" in head and not os.path.exists(os.environ["FAKE_GATE"]):  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)
            body = f"{os.getpid()} {self.state if b'/state' in head else self.hash}".encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body
            )
            self.requests += 1
            self.channel.send(self.stats())
            writer.close()
            await writer.wait_closed()
        finally:
            self.busy -= 1

    async def run(self) -> None:
        self.listener.setblocking(False)
        server = await asyncio.start_server(self.answer, sock=self.listener)
        talking = asyncio.create_task(self.channel.run())
        reporting = asyncio.create_task(self.report())
        await self.drain.wait()
        server.close()
        while self.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.channel.send(Drained())
        await asyncio.sleep(0.05)
        reporting.cancel()
        talking.cancel()

    async def report(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.hash:
                self.channel.send(self.stats())


def main() -> None:
    if os.environ.get("FAKE_DIE") or os.path.exists(os.environ["FAKE_GATE"] + ".die"):
        sys.exit(3)
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", type=int)
    parser.add_argument("--channel")
    parser.add_argument("--fd", type=int)
    options = parser.parse_args()

    async def run() -> None:
        await FakeWorker(options.worker, options.channel, options.fd).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
