"""What the soak's clients read, and how they know that an answer is theirs."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.soak_backend import nonce_line

FOREIGN: Final = "foreign answer"  # no kill ever explains one
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wrong(Exception):
    """An answer that the client cannot accept; the message is the cause in the table."""


def check_nonce(fields: bytes, head: bytes) -> None:
    """Raises Wrong if an answer is not the one to the request with these fields.

    The proxy's own answers repeat nothing; they are told by their status.
    """
    nonce = nonce_line(head)
    if nonce != nonce_line(b"\r\n" + fields) and (nonce or head[9:10] in b"12"):
        raise Wrong(FOREIGN)


async def read_head(streams: Streams) -> bytes:
    """In lower case."""
    return (await streams[0].readuntil(b"\r\n\r\n")).lower()


async def read_answer(streams: Streams, fields: bytes) -> tuple[bytes, bytes]:
    """Head and body of an answer with a length. Raises Wrong if it is not 200, or not to this request."""
    head = await read_head(streams)
    length = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
    body = await streams[0].readexactly(length)
    check_nonce(fields, head)
    if not head.startswith(b"http/1.1 200 "):
        raise Wrong(f"status {head[9:12].decode()}")
    return head, body


async def answer(streams: Streams, fields: bytes, expected: bytes) -> bool:
    """Checks one answer; whether the connection goes on."""
    head, body = await read_answer(streams, fields)
    if body != expected:
        raise Wrong("wrong body")
    return b"\r\nconnection: close\r\n" not in head
