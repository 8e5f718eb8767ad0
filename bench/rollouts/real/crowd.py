"""Users who ask all the time, each endpoint at its own rate, and what they got."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

CONNECTIONS: Final = 4  # of each path
PATIENCE: Final = 20.0  # seconds for an answer


class Got(NamedTuple):
    """One answer. `status` 0: the connection broke. `backend` is what `x-served-by` said."""

    time: float  # monotonic
    path: str
    user: int
    status: int
    backend: str


class Crowd:
    """While it is entered it asks, in a thread of its own, and `got` grows.

    `rates` are requests per second by path, `users` as many as take turns.
    """

    def __init__(self, ports: Callable[[], list[int]], rates: Mapping[str, float], users: int) -> None:
        self.got: list[Got] = []
        self._ports = ports
        self._rates = rates
        self._users = users
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()

    def of(self, path: str) -> list[Got]:
        return [each for each in self.got if each.path == path]

    def failed(self, path: str) -> set[int]:
        """Users who did not get what they asked for."""
        return {each.user for each in self.of(path) if each.status != 200}

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for path, rate in self._rates.items():
                users = itertools.cycle(range(self._users))
                for number in range(CONNECTIONS):
                    group.create_task(self._ask(path, users, CONNECTIONS / rate, number / rate))

    async def _ask(self, path: str, users: itertools.cycle[int], every: float, later: float) -> None:
        """On one connection, which is opened anew where it broke."""
        due = time.monotonic() + later
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        ports = self._ports()
        port = ports[int(later * 1000) % len(ports)]
        while not self._stopped.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + every, time.monotonic())
            user = next(users)
            try:
                async with asyncio.timeout(PATIENCE):
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", port)
                    status, backend = await _request(*connection, path, user)
            except (OSError, EOFError, TimeoutError):
                status, backend = 0, ""
                if connection is not None:
                    connection[1].close()
                connection = None
            self.got.append(Got(time.monotonic(), path, user, status, backend))
        if connection is not None:
            connection[1].close()


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, user: int
) -> tuple[int, str]:
    writer.write(f"GET {path} HTTP/1.1\r\nhost: api.example\r\nx-user-id: u{user}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").lower().removesuffix("\r\n\r\n").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    await reader.readexactly(int(fields["content-length"]))
    if fields.get("connection") == "close":
        writer.close()
        raise EOFError
    return int(first.split(" ")[1]), fields.get("x-served-by", "")
