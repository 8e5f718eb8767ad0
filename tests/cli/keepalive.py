"""Clients that keep their connections and take every close that was not announced for a failure."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from tests.support.waiting import eventually

REQUEST = b"GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n"


class KeepAlive:
    """`clients` connections in a thread; every second client pauses between its requests.

    `answers` counts by body, `closes` the answers that announced the end of their connection.
    """

    def __init__(self, port: int, clients: int = 64) -> None:
        self.answers: Counter[bytes] = Counter()
        self.closes = 0
        self.failures: list[str] = []
        self._port = port
        self._clients = clients
        self._stopped = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> KeepAlive:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        self._thread.join()

    def goes_on(self) -> None:
        """Waits for as many more answers as there are clients."""
        before = self.answers.total()
        eventually(lambda: self.answers.total() >= before + self._clients, "answers")

    async def _run(self) -> None:
        await asyncio.gather(*(self._ask(pause=0.2 * (number % 2)) for number in range(self._clients)))

    async def _ask(self, pause: float) -> None:
        while not self._stopped:
            try:
                async with asyncio.timeout(20):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except (OSError, TimeoutError) as error:
                self.failures.append(f"connect: {error!r}")
                return
            try:
                while not self._stopped and await self._one(reader, writer):  # noqa: ASYNC110
                    await asyncio.sleep(pause)
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(repr(error))
                return
            finally:
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False if its answer is the connection's last."""
        async with asyncio.timeout(20):
            writer.write(REQUEST)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200 "):
            self.failures.append(head.decode())
        self.answers[body] += 1
        last = b"\r\nconnection: close\r\n" in head
        self.closes += last
        return not last
