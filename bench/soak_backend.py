"""A small backend for the soak: `python -m bench.soak_backend --port N`.

GET /small and /big answer 200 bytes and 1 MiB, POST /write the length of its body, GET /ws becomes an echo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

BODIES = {b"/small": b"s" * 200, b"/big": b"b" * 1024 * 1024}


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            path = head.split(b" ", 2)[1].partition(b"?")[0]
            if path == b"/ws":
                await echo(reader, writer)
                return
            received = await read_body(reader, head)
            body = BODIES.get(path, b"%d" % received)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
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
