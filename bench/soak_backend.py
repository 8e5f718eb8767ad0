"""A small backend for the soak: `python -m bench.soak_backend --port N`.

GET /small and /big answer 200 bytes and 1 MiB, GET /slow after 3 s, GET /seen with the request's own head,
POST /write the length of its body, POST /keyed which execution it was, POST /events two events; GET /ws
becomes an echo. Each answer repeats the request's `x-nonce`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os

BODIES = {b"/small": b"s" * 200, b"/big": b"b" * 1024 * 1024, b"/slow": b"late"}
EVENTS = (b"data: first\n\n", b"data: last\n\n")
PAUSE = 0.3  # seconds between them
SLOW = 3.0
_executed = itertools.count(1)


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            nonce = nonce_line(head)
            path = head.split(b" ", 2)[1].partition(b"?")[0]
            if path == b"/ws":
                await echo(reader, writer, nonce)
                return
            received = await read_body(reader, head)
            if path == b"/events":
                await send_events(writer, nonce)
                continue
            if path == b"/slow":
                await asyncio.sleep(SLOW)
            body = body_of(path, head, received)
            writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n" % (nonce, len(body)) + body)
            await writer.drain()


def body_of(path: bytes, head: bytes, received: int) -> bytes:
    if path == b"/seen":
        return head
    if path == b"/keyed":  # over all backends no two executions have the same
        keyed = b"with a key" if b"\r\nidempotency-key:" in head else b"without one"
        return b"%d of %d, %b" % (next(_executed), os.getpid(), keyed)
    return BODIES.get(path, b"%d" % received)


async def send_events(writer: asyncio.StreamWriter, nonce: bytes) -> None:
    fields = nonce + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    for event in EVENTS:
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(PAUSE)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def nonce_line(head: bytes) -> bytes:
    """The line that says whose request, or answer, this is; b"" without one. `head` is in lower case."""
    start = head.find(b"\r\nx-nonce:") + 2
    return head[start : head.index(b"\r\n", start) + 2] if start > 1 else b""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nonce: bytes) -> None:
    fields = nonce + b"connection: upgrade\r\nupgrade: websocket\r\n"
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def read_body(reader: asyncio.StreamReader, head: bytes) -> int:
    """Bytes of the request's body, read and forgotten."""
    if b"transfer-encoding: chunked" not in head:
        length = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        return length
    received = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
        received += size
    await reader.readuntil(b"\r\n")
    return received


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    server = await asyncio.start_server(serve_client, "127.0.0.1", parser.parse_args().port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
