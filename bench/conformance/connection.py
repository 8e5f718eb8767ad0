"""What a client does with its connection: pipelines, waits, closes half of it, asks for another protocol."""

from __future__ import annotations

from typing import Final

from bench.conformance.case import CHUNKED, CLOSE, HIDDEN, HOST, Answers, Case, Cases, get, post

_UPGRADE: Final = HOST + (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello"
)

CONNECTIONS: Final[Cases] = {
    "pipelining, in order": Case(
        get(HOST) + post(b"Content-Length: 2\r\n", b"ab") + get(HOST + CLOSE), "3 x 200"
    ),
    "pipelining behind chunks": Case(post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n") + get(HOST + CLOSE), "200 200"),
    "nothing is read behind Connection: close": Case(get(HOST + CLOSE) + HIDDEN, "200", gone=(b"/hidden",)),
    "a bad request behind a good one": Case(
        get(HOST) + b"NO\r\n\r\n" + HIDDEN, "200 400", gone=(b"/hidden",)
    ),
    "half-close behind a request": Case(
        get(HOST),
        "200",
        line=b"GET /g HTTP/1.1",
        half_close="at once",
        why="closing one direction is not leaving: the answer can be read (`abort_on_eof` changes that)",
    ),
    "half-close in a head": Case(
        b"GET /g HTTP/1.1\r\nHost:",
        "closed",
        half_close="at once",
        why="nobody waits for an answer to a request that was not finished",
    ),
    "half-close in a body": Case(
        post(b"Content-Length: 9\r\n", b"ab"),
        "closed",
        gone=(b"/p",),
        half_close="later",
        why="a small body is buffered before an upstream is asked, so half a write never reaches it",
    ),
    "half-close in a chunk": Case(
        post(CHUNKED, b"9\r\nab"),
        "closed",
        gone=(b"/p",),
        half_close="later",
        why="a small body is buffered before an upstream is asked, so half a write never reaches it",
    ),
    "Expect: 100-continue": Case(
        (post(b"Content-Length: 2\r\nExpect: 100-continue\r\n" + CLOSE), b"ab"),
        "100 200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
    ),
    "Expect: 100-continue, and the body at once": Case(
        post(b"Content-Length: 2\r\nExpect: 100-continue\r\n" + CLOSE, b"ab"),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
        why="RFC 9110 section 10.1.1: no 100 is needed when the body is there",
    ),
    "Expect: 100-continue in HTTP/1.0": Case(
        b"POST /p HTTP/1.0\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
        why="a proxy sends its own version (RFC 9110 section 6.2)",
    ),
    "Upgrade to WebSocket": Case(
        get(_UPGRADE),
        "101",
        line=b"GET /g HTTP/1.1",
        there=(b"upgrade: websocket\r\n",),
        answers=Answers(_SWITCHED, "close"),
    ),
    "Upgrade that the upstream declines": Case(
        get(_UPGRADE), "200", line=b"GET /g HTTP/1.1", there=(b"upgrade: websocket\r\n",)
    ),
    "Upgrade to HTTP/2 is not offered on": Case(
        get(HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        "200",
        line=b"GET /g HTTP/1.1",
        gone=(b"upgrade:", b"http2-settings"),
        why="behind such a tunnel requests would pass that nobody decides about",
    ),
    "Upgrade of a request with a body": Case(
        b"POST /p HTTP/1.1\r\n" + _UPGRADE + b"Content-Length: 2\r\n\r\nab",
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
        gone=(b"upgrade:",),
        why="safe",
    ),
}
