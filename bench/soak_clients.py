"""The soak's clients: each does, again and again, one of the things that clients do, and checks it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench import soak_odd as odd
from bench.soak_backend import BODIES
from bench.soak_excuses import Failure
from bench.soak_wire import Streams, Wrong, answer, check_nonce

OPENING = 40  # connections, of which each worker gets some
TIMEOUT = 20.0  # seconds for one request, the slow ones included
HOST = b"host: soak.example\r\nx-user-id: %d\r\nx-nonce: %d\r\n"


@dataclass
class Times:
    """Of one client, as in `Failure`."""

    good: float = 0.0
    begun: float = 0.0


class Clients:
    """`requests` by kind, and every one that failed."""

    def __init__(self, port: int, seed: int) -> None:
        self.requests: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.stopped = False
        self._port = port
        self._random = random.Random(seed)

    async def run(self, clients: int) -> None:
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    async def open_stores(self) -> None:
        """A worker opens its store with the first keyed write."""
        for number in range(OPENING):
            streams = await asyncio.open_connection("127.0.0.1", self._port)
            await odd.retry(streams, HOST % (0, -1 - number))
            streams[1].close()

    async def _client(self, number: int) -> None:
        kinds = list(KINDS)
        while not self.stopped:
            kind = self._random.choices(kinds, [KINDS[each][1] for each in kinds])[0]
            times = Times()
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self._session(kind, number, times)
            except (OSError, EOFError, TimeoutError, Wrong) as error:
                cause = str(error) if isinstance(error, Wrong) else type(error).__name__
                self.failures.append(Failure(kind, cause, times.good, times.begun, time.monotonic()))
                await asyncio.sleep(0.1)

    async def _session(self, kind: str, number: int, times: Times) -> None:
        """A few requests of one kind on one connection."""
        times.good = times.begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for _ in range(self._random.randint(1, 8)):
                times.begun = time.monotonic()
                self.requests[kind] += 1
                if (
                    not await KINDS[kind][0]((reader, writer), HOST % (number, self.requests.total()))
                    or self.stopped
                ):
                    return
                times.good = times.begun
        finally:
            writer.close()


async def read(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"GET /small HTTP/1.1\r\n" + fields + b"\r\n")
    return await answer(streams, fields, BODIES[b"/small"])


async def download(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"GET /big HTTP/1.1\r\n" + fields + b"\r\n")
    return await answer(streams, fields, BODIES[b"/big"])


async def write(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"POST /write HTTP/1.1\r\n" + fields + b"content-length: 300\r\n\r\n" + b"w" * 300)
    return await answer(streams, fields, b"300")


async def upload(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"POST /write HTTP/1.1\r\n" + fields + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(10):
        streams[1].write(b"4000\r\n" + b"u" * 0x4000 + b"\r\n")
        await streams[1].drain()
    streams[1].write(b"0\r\n\r\n")
    return await answer(streams, fields, b"%d" % (10 * 0x4000))


async def drip(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"POST /write HTTP/1.1\r\n" + fields + b"content-length: 5\r\n\r\n")
    for _ in range(5):
        await asyncio.sleep(0.2)
        streams[1].write(b"d")
    return await answer(streams, fields, b"5")


async def abort(streams: Streams, fields: bytes) -> bool:
    streams[1].write(b"GET /big HTTP/1.1\r\n" + fields + b"\r\n")
    await streams[0].readexactly(1)
    streams[1].transport.abort()
    return False


async def tunnel(streams: Streams, fields: bytes) -> bool:
    streams[1].write(
        b"GET /ws HTTP/1.1\r\n" + fields + b"connection: upgrade\r\nupgrade: websocket\r\n\r\nfirst"
    )
    head = await streams[0].readuntil(b"\r\n\r\n")
    check_nonce(fields, head.lower())
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Wrong(f"status {head[9:12].decode()}")
    for message in (b"first", b"t" * 10_000):
        if message != b"first":
            streams[1].write(message)
        if await streams[0].readexactly(len(message)) != message:
            raise Wrong("wrong echo")
    return False


KINDS: dict[str, tuple[Callable[[Streams, bytes], Awaitable[bool]], int]] = {
    "read": (read, 40),
    "write": (write, 20),
    "upload": (upload, 10),
    "download": (download, 10),
    "drip": (drip, 6),
    "abort": (abort, 7),
    "tunnel": (tunnel, 7),
    "leave": (odd.leave, 4),
    "forge": (odd.forge, 6),
    "expect": (odd.expect, 6),
    "retry": (odd.retry, 8),
    "listen": (odd.listen, 4),
    "sip": (odd.sip, 3),
}
"""By name: what is done, and how often in comparison to the others."""
