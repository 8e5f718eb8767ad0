"""One user: asks, reads the answer, thinks, asks again, on one connection that stays open."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import cast

from bench.crowd.mix import Asker

content_length = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search
_chunked = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE).search
FOREIGN = "foreign answer"
LATE = 0.8  # seconds after which a request without an answer is told of, at the end of a window


@dataclass
class Tally:
    """What happened in one window of measuring."""

    latencies: dict[str, list[float]] = field(default_factory=dict)  # seconds, by kind
    errors: dict[str, int] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)  # seconds by which this process was late to ask
    received: int = 0  # bytes

    def error(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1


class Shared:
    """What the users of one process have in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop, asker: Asker, think: float, even: bool) -> None:
        self.loop = loop
        self.asker = asker
        self.think = think  # seconds, the mean
        self.even = even  # pauses from half to one and a half of the mean, instead of exponential
        self.random = asker._random
        self.tally = Tally()
        self.users: set[User] = set()
        self.refused = 0  # connections that ended by themselves

    def pause(self) -> float:
        if self.even:
            return self.think * self.random.uniform(0.5, 1.5)
        return self.random.expovariate(1 / self.think) if self.think else 0.0

    def waiting(self, now: float) -> dict[str, list[float]]:
        """How long requests without an answer have waited, by kind: leaving out long ones would flatter."""
        found: dict[str, list[float]] = {}
        for user in self.users:
            if user.kind and now - user.due > LATE:
                found.setdefault(user.kind, []).append(now - user.due)
        return found


class User(asyncio.Protocol):
    """Its latency counts from when the request was due: a late generator must not look like a fast server."""

    __slots__ = (
        "_buffer",
        "_proof",
        "_timer",
        "_wanted",
        "due",
        "kind",
        "leaving",
        "number",
        "shared",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, shared: Shared, number: int) -> None:
        self.shared = shared
        self.number = number
        self.kind = ""  # of the request under way
        self.due = 0.0
        self.leaving = False
        self._buffer = b""
        self._proof = b""
        self._wanted = 0  # bytes of the whole answer; 0: not known yet, -1: chunked
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.shared.users.add(self)
        # Users are in the middle of their thinking when they come: the load is even from the first second.
        self._think(self.shared.random.uniform(0, 1) * self.shared.think if self.shared.even else None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.users.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.kind or not self.leaving:
            self.shared.refused += 1
            self.shared.tally.error("connection lost" if self.kind else "connection closed while idle")

    def leave(self) -> None:
        """Go when the answer under way has come."""
        self.leaving = True
        if not self.kind:
            self.transport.close()

    def think_anew(self) -> None:
        """The pace has changed."""
        if self._timer is not None and not self.kind:
            self._timer.cancel()
            self._think(self.shared.random.uniform(0, 1) * self.shared.think if self.shared.even else None)

    def _think(self, pause: float | None = None) -> None:
        loop = self.shared.loop
        pause = self.shared.pause() if pause is None else pause
        self.due = loop.time() + pause
        self._timer = loop.call_later(pause, self._ask)

    def _ask(self) -> None:
        shared = self.shared
        now = shared.loop.time()
        shared.tally.lags.append(now - self.due)
        self.due = min(self.due, now)  # a timer's precision is a millisecond, on either side
        self.kind, request, self._proof = shared.asker.draw(self.number)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.shared.tally.received += len(data)
        self._buffer = self._buffer + data if self._buffer else data
        if not self._wanted:
            self._read_head()
        if self._wanted < 0:
            if not self._buffer.endswith(b"\r\n0\r\n\r\n"):
                return
        elif not self._wanted or len(self._buffer) < self._wanted:
            return
        self._answered()

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[: end + 2]
        if match := content_length(head):
            self._wanted = end + 4 + int(match[1])
        else:
            self._wanted = -1 if _chunked(head) else end + 4

    def _answered(self) -> None:
        shared, status = self.shared, self._buffer[9:12]
        kind, self.kind = self.kind, ""
        own = self._proof in self._buffer
        self._buffer, self._wanted = b"", 0
        if status[:1] == b"2" and not own:
            shared.tally.error(FOREIGN)
        elif status[:1] == b"2":
            shared.tally.latencies.setdefault(kind, []).append(shared.loop.time() - self.due)
        else:
            shared.tally.error(f"{kind} {status.decode('latin-1')}")
        if self.leaving:
            self.transport.close()
        else:
            self._think()
