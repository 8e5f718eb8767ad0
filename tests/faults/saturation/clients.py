"""Clients that come at an even pace, whatever becomes of the others, and check that each answer is theirs.

So a stall piles up requests. A write repeats its key until it knows what became of it. Some keys are used
again long after that, and some clients leave. Connections stay open, and the one that was used last is used
first: what is written to a connection too late is read as the answer to the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from tests.faults.saturation.connection import Answer, Connection, Lost

READS: Final = 1 / 3  # of the requests
REPEATS: Final = 0.05  # of the writes: a key that has been answered is used once more
LEAVES: Final = 0.03  # of the tries
SHORT: Final = (0.02, 2.0, 8.0)  # seconds after which they have left
AT_A_TIME: Final = 32  # of what is finished at the end
USERS: Final = 200
MOST: Final = 4000  # connections at a time
Outcome = Literal["open", "acknowledged", "refused", "unknown"]


@dataclass
class Write:
    """`key` is also its nonce: an answer that was stored is the answer to every try."""

    key: str
    user: int
    outcome: Outcome = "open"
    answer: str = ""  # the last one


class Request(NamedTuple):
    """`nonce` is repeated by the backend, `origin` by the proxy in answers of its own. `leaving`: its client
    goes when its patience is over; otherwise the request hangs then."""

    data: bytes
    nonce: str
    origin: str
    patience: float  # seconds
    leaving: bool = False


class Clients:
    """`patience`: seconds after which a request without any answer hangs."""

    def __init__(self, url: str, seed: int, patience: float) -> None:
        self._host, _, port = urlsplit(url).netloc.partition(":")
        self._port = int(port)
        self._rng = random.Random(seed)
        self._seed = seed
        self._patience = patience
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(MOST)
        self._tries = 0
        self._begun = 0.0
        self.writes: list[Write] = []
        self.finished: list[Write] = []
        self.statuses: Counter[str] = Counter()
        self.foreign: list[str] = []
        self.hung: list[str] = []
        self.reads = 0
        self.left = 0
        self.stopped = False
        self._told: set[asyncio.Task[None]] = set()

    async def run(self, writes: int, rate: float) -> None:
        """So many new keys, at `rate` requests a second of all kinds; returns when the last has been sent."""
        self._begun, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while len(self.writes) < writes:
                await asyncio.sleep(self._begun + number / rate - time.monotonic())
                number += 1
                tasks.create_task(self._one())
            self.stopped = True  # what is still open is finished when nothing is in its way any more

    async def finish(self, seconds: float) -> None:
        """What is still open, with nothing in its way. What was unknown may be known by now."""
        self.stopped = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*self._told)
                open_ = iter([write for write in self.writes if write.outcome in ("open", "unknown")])
                await asyncio.gather(*(self._settle_each(open_) for _ in range(AT_A_TIME)))
        self.close()

    async def _settle_each(self, writes: Iterator[Write]) -> None:
        for write in writes:
            await self._settle(write, 0.0)

    def told(self, key: str, *, done: bool) -> None:
        """An operator has found out what became of a write. What was not done is tried again."""
        write = next(write for write in self.writes if write.key == key)
        if done:
            write.outcome = "acknowledged"
        elif write.outcome == "unknown":
            write.outcome = "open"
            task = asyncio.create_task(self._settle(write, 0.0))
            self._told.add(task)
            task.add_done_callback(self._told.discard)

    def close(self) -> None:
        for connection in self._idle:
            self._note_unasked(connection)
            connection.transport.abort()
        self._idle.clear()

    async def _one(self) -> None:
        if self._rng.random() < READS:
            self.reads += 1
            await self._read()
        elif self.finished and self._rng.random() < REPEATS:
            await self._repeat(self._rng.choice(self.finished))
        else:
            write = Write(f"s{self._seed}-{len(self.writes)}", self._rng.randrange(USERS))
            self.writes.append(write)
            await self._settle(write, LEAVES)

    async def _read(self) -> None:
        nonce = self._next_nonce()
        head = self._head(f"GET /items/{nonce}", self._rng.randrange(USERS), nonce, nonce)
        await self._ask(Request(head, nonce, nonce, self._patience))

    async def _repeat(self, write: Write) -> None:
        answer = await self._try(write, 0.0)
        if answer is not None and answer.status in (400, 404, 422):
            write.outcome = "refused"

    async def _settle(self, write: Write, leaves: float) -> None:
        attempt = 0
        while not self.stopped:
            answer = await self._try(write, leaves)
            if answer is not None and (outcome := outcome_of(answer)) != "open":
                write.outcome = outcome
                if outcome == "acknowledged":
                    self.finished.append(write)
                return
            await asyncio.sleep(min(5.0, 0.1 * 2**attempt) * (0.5 + self._rng.random()))
            attempt += 1

    async def _try(self, write: Write, leaves: float) -> Answer | None:
        body = b'{"key": "%b"}' % write.key.encode()
        origin = self._next_nonce()
        own = f"idempotency-key: {write.key}\r\ncontent-length: {len(body)}\r\n"
        head = self._head("POST /writes", write.user, write.key, origin, own)
        leaving = self._rng.random() < leaves
        patience = self._rng.choice(SHORT) * self._rng.random() if leaving else self._patience
        answer = await self._ask(Request(head + body, write.key, origin, patience, leaving))
        if answer is not None:
            write.answer = f"{answer.status} {answer.error}"
        return answer

    def _next_nonce(self) -> str:
        self._tries += 1
        return f"t{self._tries}.test"

    def _head(self, line: str, user: int, nonce: str, origin: str, more: str = "") -> bytes:
        return (
            f"{line} HTTP/1.1\r\nhost: faults.test\r\nauthorization: Bearer key-{user}\r\n"
            f"x-user-id: user-{user}\r\nx-nonce: {nonce}\r\norigin: {origin}\r\n{more}\r\n"
        ).encode()

    async def _ask(self, request: Request) -> Answer | None:
        """The answer, if it came and is ours."""
        async with self._free:
            connection: Connection | None = None
            try:
                async with asyncio.timeout(request.patience):
                    connection = await self._connection()
                    answer = await connection.ask(request.data)
            except TimeoutError:
                self._gave_up(request)
            except (OSError, Lost) as error:
                self.statuses[type(error).__name__] += 1
            else:
                return self._checked(connection, answer, request)
            if connection is not None:
                connection.transport.abort()
            return None

    def _gave_up(self, request: Request) -> None:
        if request.leaving:
            self.left += 1
        else:
            asked = time.monotonic() - self._begun - request.patience
            self.hung.append(f"{request.nonce}, asked after {asked:.1f} s,")

    def _checked(self, connection: Connection, answer: Answer, request: Request) -> Answer | None:
        self.statuses[f"{answer.status} {answer.error}"] += 1
        if not is_own(answer, request):
            got = f"{answer.status} for {answer.nonce or answer.origin}"
            self.foreign.append(f"{request.nonce} was answered {got}")
            connection.transport.abort()
            return None
        if answer.closes or connection.unasked:
            self._note_unasked(connection)
            connection.transport.abort()
        else:
            self._idle.append(connection)
        return answer

    def _note_unasked(self, connection: Connection) -> None:
        if connection.unasked:
            self.foreign.append("an answer came that nobody had asked for")

    async def _connection(self) -> Connection:
        """An open one, or a new one. Bytes in one that was closed meanwhile are a foreign answer as well."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            self._note_unasked(connection)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection


def is_own(answer: Answer, request: Request) -> bool:
    """A backend repeats the nonce, the proxy the origin."""
    return answer.nonce == request.nonce if answer.nonce else answer.origin == request.origin


def outcome_of(answer: Answer) -> Outcome:
    """What a client knows about its write after this answer to it; "open": it has to ask again."""
    if answer.status == 201 or answer.error == "idempotency_settled":
        return "acknowledged"
    if answer.error == "outcome_unknown" or b'"outcome": "unknown"' in answer.body:
        return "unknown"
    if answer.status in (400, 404, 413, 422):
        return "refused"
    return "open"
