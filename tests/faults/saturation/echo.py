"""A fast backend that says whose request it answers: `python -m tests.faults.saturation.echo`.

Every answer repeats the request's `x-nonce`, and every execution of a key is counted. The port for control
takes one JSON object a line: `{"do": "counts"}`, or `{"do": "stall", "kind": ..., "seconds": ...}`:

    unread  what comes lies there, and is executed when the stall is over, its sender there or not
    late    requests are executed at once and answered when the stall is over
    half    answers begin at once and go on when the stall is over
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections import Counter
from functools import partial
from typing import Any, Final, Literal, cast

import uvloop

Stall = Literal["unread", "late", "half"]
PADDING: Final = b"." * 160


class Echo:
    """What all connections have in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.executed: Counter[str] = Counter()
        self.unread: set[Connection] = set()  # which have bytes that nobody has looked at
        self._kind: Stall | None = None
        self._over = loop.create_future()

    @property
    def stalled(self) -> Stall | None:
        return self._kind

    def stall(self, kind: Stall, seconds: float) -> None:
        """One at a time: a new one ends the one before."""
        self._end()
        self._kind = kind
        self._over = self.loop.create_future()
        over = self._over
        self.loop.call_later(seconds, lambda: self._end() if over is self._over else None)

    def when_over(self, connection: Connection, data: bytes) -> None:
        """What waits goes out in the order in which it came, connection by connection."""
        self._over.add_done_callback(lambda _: connection.send(data))

    def _end(self) -> None:
        self._kind = None
        if not self._over.done():
            self._over.set_result(None)
        unread, self.unread = self.unread, set()
        for connection in unread:
            connection.read()


class Connection(asyncio.Protocol):
    """Requests with Content-Length or without a body, one after the other."""

    transport: asyncio.Transport

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._echo.stalled == "unread":
            self._echo.unread.add(self)
        else:
            self.read()

    def read(self) -> None:
        """What has come, also if whoever sent it is gone by now."""
        while (request := take_request(self._buffer)) is not None:
            head, self._buffer = request
            self._answer(head)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _answer(self, head: bytes) -> None:
        nonce = field(head, b"x-nonce")
        status = b"200 OK"
        if head.startswith(b"POST "):
            self._echo.executed[field(head, b"idempotency-key").decode()] += 1
            status = b"201 Created"
        body = b'{"nonce": "%b", "padding": "%b"}' % (nonce, PADDING)
        answer = (
            b"HTTP/1.1 %b\r\nx-nonce: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (
                *(status, nonce, len(body)),
                body,
            )
        )
        if self._echo.stalled == "late":
            self._echo.when_over(self, answer)
        elif self._echo.stalled == "half":
            self.send(answer[:-100])
            self._echo.when_over(self, answer[-100:])
        else:
            self.send(answer)


def take_request(buffer: bytes) -> tuple[bytes, bytes] | None:
    """Head of the first request, and what follows its body; None: it is not whole yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[: end + 2]
    whole = end + 4 + int(field(head, b"content-length") or 0)
    return (head, buffer[whole:]) if len(buffer) >= whole else None


def field(head: bytes, name: bytes) -> bytes:
    """The value of the first field of that name; b"" without one."""
    start = head.lower().find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip()


async def _control(echo: Echo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while line := await reader.readline():
            command: dict[str, Any] = json.loads(line)
            if command["do"] == "stall":
                echo.stall(command["kind"], command["seconds"])
            answer = echo.executed if command["do"] == "counts" else {}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()


async def serve(port: int, control: int) -> None:
    loop = asyncio.get_running_loop()
    echo = Echo(loop)
    server = await loop.create_server(lambda: Connection(echo), "127.0.0.1", port, backlog=4096)
    commands = await asyncio.start_server(partial(_control, echo), "127.0.0.1", control)
    await asyncio.gather(server.serve_forever(), commands.serve_forever())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", type=int, required=True, help="port for commands")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.control))


if __name__ == "__main__":
    main()
