"""A backend that costs next to nothing: `python -m bench.hundredk.stub --port N` answers all with 0.2 KiB."""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

BODY = b'{"asked":"%b","kind":"customer","name":"' + b"s" * 100 + b'","status":"active"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def answer(head: bytes, body: bytes) -> bytes:
    """Repeats target and body, so that whoever asked can tell that the answer is theirs."""
    text = BODY % (head[head.index(b" ") + 1 : head.index(b" HTTP/")] + body.replace(b'"', b"'"))
    return ANSWER % (len(text), text)


class Stub(asyncio.Protocol):
    """For requests of one segment each, head first, as the proxy sends those of the mix."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(length or 0):
            self.received = b""
            self.transport.write(answer(head, body))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", parser.parse_args().port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
