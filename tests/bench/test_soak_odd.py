"""What the odd clients of the soak do not accept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import pytest

from bench import soak_odd as odd
from bench.soak_wire import Streams, Wrong

FIELDS = b"host: soak.example\r\nx-user-id: 3\r\nx-nonce: 4\r\n"
SEEN = odd.CANONICAL + b"\r\ncookie: a=1\r\ncookie: session=s\r\n"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nx-nonce: 4\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def meet(client: Callable[[Streams, bytes], Awaitable[bool]], answers: bytes) -> bool:
    async def run() -> bool:
        reader = asyncio.StreamReader()
        reader.feed_data(answers)
        reader.feed_eof()
        return await client((reader, Mock(spec=asyncio.StreamWriter)), FIELDS)

    return asyncio.run(run())


def test_what_is_right_is_accepted() -> None:
    assert meet(odd.forge, ok(b"get /seen http/1.1\r\n" + SEEN))
    assert meet(odd.retry, 2 * ok(b"1 of 7, with a key"))


@pytest.mark.parametrize(
    ("client", "answers", "complaint"),
    [
        (odd.forge, ok(b"\r\n" + SEEN + b"x-shadow: 1\r\n"), "forged fields were believed"),
        (odd.forge, ok(b"\r\n" + SEEN.replace(b"2001:db8::7", b"[2001:DB8::7]:50007")), "forged fields"),
        (odd.forge, ok(b"\r\n" + SEEN.replace(b"cookie: a=1\r\n", b"")), "forged fields"),
        (odd.retry, ok(b"1 of 7, with a key") + ok(b"2 of 7, with a key"), "executed twice"),
        (odd.retry, 2 * ok(b"1 of 7, without one"), "the key was taken away"),
        (odd.expect, ok(b"300"), "status 200"),
        (odd.sip, b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
    ],
)
def test_what_is_wrong_is_told(
    client: Callable[[Streams, bytes], Awaitable[bool]], answers: bytes, complaint: str
) -> None:
    with pytest.raises(Wrong, match=complaint):
        meet(client, answers)
