"""A backend that misbehaves as it is told: `python -m bench.rollouts.real.backend NAME PORT`.

`POST /_faults` with `{"/path": {...}}` changes what is wrong with a path, "" for all of them:

- `fails`: one user in so many gets 500, always the same ones;
- `sleep`: seconds before each answer;
- `cents`: what is added to the amount in the answer;
- `reset`: the share of requests after which the connection is reset in place of an answer;
- `version`: what `x-version` says.

`{"stall": 2}` holds every answer for so many seconds from now.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from typing import Any, cast

import uvloop

END = b"\r\n\r\n"


class Behaviour:
    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: dict[str, dict[str, Any]] = {}
        self.stalled_until = 0.0
        self.chance = random.Random(name)

    def told(self, news: dict[str, Any]) -> None:
        if "stall" in news:
            self.stalled_until = asyncio.get_running_loop().time() + news.pop("stall")
        self.faults.update(news)

    def of(self, path: str) -> dict[str, Any]:
        return {**self.faults.get("", {}), **self.faults.get(path, {})}


class Client(asyncio.Protocol):
    """One connection: requests come one after the other."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(END)
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        _, target, _ = first.split(" ")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        length = int(fields.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if target == "/_faults":
            self._behaviour.told(json.loads(rest[:length]))
            self._answer(200, b"{}", {})
            return
        self._serve(target.partition("?")[0], fields.get("x-user-id", "u0"))

    def _serve(self, path: str, user: str) -> None:
        loop, faults = asyncio.get_running_loop(), self._behaviour.of(path)
        number = int(user[1:]) if user[1:].isdigit() else 0
        if self._behaviour.chance.random() < faults.get("reset", 0.0):
            self._reset()
            return
        failing = bool(faults.get("fails")) and number % faults["fails"] == 0
        cents = 100 * number + faults.get("cents", 0)
        body = json.dumps({"user": number, "cents": cents}).encode()
        answer = (500, b"{}", faults) if failing else (200, body, faults)
        pause = max(faults.get("sleep", 0.0), self._behaviour.stalled_until - loop.time())
        if pause > 0:
            loop.call_later(pause, self._answer, *answer)
        else:
            self._answer(*answer)

    def _answer(self, status: int, body: bytes, faults: dict[str, Any]) -> None:
        version = f"x-version: {faults['version']}\r\n" if "version" in faults else ""
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{version}content-length: {len(body)}"
        )
        self._transport.write(head.encode() + END + body)

    def _reset(self) -> None:
        own = self._transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


async def serve(name: str, port: int) -> None:
    behaviour = Behaviour(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(behaviour), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
