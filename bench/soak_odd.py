"""More of the soak's clients: unlucky, careless and hostile ones, and what they must get all the same."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.soak_backend import BODIES, EVENTS, nonce_line
from bench.soak_wire import Streams, Wrong, answer, check_nonce, read_answer, read_head

# What a client says of itself, and what the backend is to hear of it.
ADDRESS: Final = b"x-forwarded-for: [2001:DB8:0::7]:50007\r\n"
CANONICAL: Final = b"x-forwarded-for: 2001:db8::7, 127.0.0.1"
FORGED: Final = b"x-shadow: 1\r\nx-served-by: async\r\nX_User_Id: somebody\r\n"


def key_of(fields: bytes) -> bytes:
    """One for each request of the run: its nonce."""
    return nonce_line(b"\r\n" + fields).partition(b":")[2].strip()


async def leave(streams: Streams, fields: bytes) -> bool:
    """Asks for what takes long, and closes its side at once."""
    streams[1].write(b"GET /slow HTTP/1.1\r\n" + fields + b"\r\n")
    streams[1].write_eof()
    await streams[0].read()
    return False


async def forge(streams: Streams, fields: bytes) -> bool:
    """Fields that only the proxy may set, an address as some balancers write it, a cookie in two lines."""
    odd = ADDRESS + FORGED + b"cookie: a=1\r\ncookie: session=s\r\n"
    streams[1].write(b"GET /seen HTTP/1.1\r\n" + fields + odd + b"\r\n")
    head, body = await read_answer(streams, fields)
    forbidden = [name for name in (b"x-shadow:", b"x-served-by:", b"x_user_id:") if b"\n" + name in body]
    if forbidden or b"\n" + CANONICAL + b"\r" not in body or body.count(b"\ncookie:") != 2:
        raise Wrong("forged fields were believed, or the address is another")
    return b"\r\nconnection: close\r\n" not in head


async def expect(streams: Streams, fields: bytes) -> bool:
    """Keeps its body back until it is asked for it."""
    expecting = b"expect: 100-continue\r\ncontent-length: 300\r\n\r\n"
    streams[1].write(b"POST /write HTTP/1.1\r\n" + fields + expecting)
    head = await read_head(streams)
    if not head.startswith(b"http/1.1 100 "):
        raise Wrong(f"status {head[9:12].decode()}")
    streams[1].write(b"e" * 300)
    return await answer(streams, fields, b"300")


async def retry(streams: Streams, fields: bytes) -> bool:
    """A write with a key, named away by Connection, and the same again: it is executed once."""
    named = b"idempotency-key: %b\r\nconnection: idempotency-key\r\n" % key_of(fields)
    request = b"POST /keyed HTTP/1.1\r\n" + fields + named + b"content-length: 5\r\n\r\nmoney"
    streams[1].write(request)
    head, first = await read_answer(streams, fields)
    if b"\r\nconnection: close\r\n" in head:
        return False
    streams[1].write(request)
    head, second = await read_answer(streams, fields)
    if first != second:
        raise Wrong("executed twice")
    if not first.endswith(b"with a key"):
        raise Wrong("the key was taken away")
    return b"\r\nconnection: close\r\n" not in head


async def listen(streams: Streams, fields: bytes) -> bool:
    """A write that is answered by events: the first is there before the last has happened."""
    key = b"idempotency-key: events-%b\r\n" % key_of(fields)
    streams[1].write(b"POST /events HTTP/1.1\r\n" + fields + key + b"content-length: 2\r\n\r\n{}")
    head = await read_head(streams)
    check_nonce(fields, head)
    if not head.startswith(b"http/1.1 200 "):
        raise Wrong(f"status {head[9:12].decode()}")
    received = await streams[0].readuntil(EVENTS[0])
    if EVENTS[1] in received:
        raise Wrong("events were kept back")
    await streams[0].readuntil(EVENTS[1])
    await streams[0].readuntil(b"0\r\n\r\n")
    return False  # a worker that began to drain meanwhile closes it, and could not say so in the head


async def sip(streams: Streams, fields: bytes) -> bool:
    """Takes a large answer in sips."""
    streams[1].write(b"GET /big HTTP/1.1\r\n" + fields + b"\r\n")
    head = await read_head(streams)
    check_nonce(fields, head)
    if not head.startswith(b"http/1.1 200 "):
        raise Wrong(f"status {head[9:12].decode()}")
    left = len(BODIES[b"/big"])
    while left:
        left -= len(await streams[0].readexactly(min(left, 256 * 1024)))
        await asyncio.sleep(0.1)
    return b"\r\nconnection: close\r\n" not in head
