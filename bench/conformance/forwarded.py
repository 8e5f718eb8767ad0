"""Requests that go out, in one reading: what was allowed to be odd is normalised, hop-by-hop fields end."""

from __future__ import annotations

from typing import Final

from bench.conformance.case import CHUNKED, CLOSE, HOST, Case, Cases, get, post

FRAMED: Final[Cases] = {
    "chunk extensions are dropped": Case(
        post(CHUNKED + CLOSE, b'2;a="b;c"\r\nab\r\n0;x\r\n\r\n'),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
        gone=(b"a=",),
    ),
    "chunk sizes may have zeros in front and either case": Case(
        post(
            CHUNKED + CLOSE,
            b"00000000000000a\r\n0123456789\r\nA \t;\r\n0123456789\r\n0\r\n\r\n",
        ),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"0123456789" * 2,
    ),
    "the coding's name has no case": Case(
        post(b"TRANSFER-ENCODING: \t ChunkeD \t \r\n" + CLOSE, b"1\r\na\r\n0\r\n\r\n"),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"a",
        why="RFC 9112 section 7: names of codings have no case, and blanks around a value are none of it",
    ),
    "request trailers end here": Case(
        post(CHUNKED + CLOSE, b"1\r\na\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n"),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"a",
        gone=(b"content-length: 9", b"x: y"),
        why="safe",
    ),
    "zeros in front of a length": Case(
        post(b"Content-Length: 0002\r\n" + CLOSE, b"ab"),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
    ),
    "a GET may have a body": Case(
        get(HOST + b"Content-Length: 2\r\n" + CLOSE) + b"ab",
        "200",
        line=b"GET /g HTTP/1.1",
        body=b"ab",
    ),
    "framing fields cannot be named away": Case(
        post(b"Content-Length: 2\r\nConnection: close, content-length, host\r\n", b"ab"),
        "200",
        line=b"POST /p HTTP/1.1",
        body=b"ab",
        there=(b"host: a.example",),
    ),
}

HEADS: Final[Cases] = {
    "absolute-form wins over host": Case(
        get(HOST + CLOSE, b"http://b.example:81/g?x=http://c/"),
        "200",
        line=b"GET /g?x=http://c/ HTTP/1.1",
        there=(b"host: b.example:81", b"x-forwarded-host: b.example:81"),
        gone=(b"a.example",),
        why="RFC 9112 section 3.2.2: the target's authority replaces the Host that came",
    ),
    "absolute-form without a path": Case(
        get(HOST + CLOSE, b"HTTP://b.example?x=1"),
        "200",
        line=b"GET /?x=1 HTTP/1.1",
        there=(b"host: b.example",),
        gone=(b"a.example",),
        why="RFC 9112 section 3.2.2: the target's authority replaces the Host that came",
    ),
    "OPTIONS *": Case(
        b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        "200",
        line=b"OPTIONS * HTTP/1.1",
        there=(b"host: a.example",),
        why="a request of its own (RFC 9110 section 9.3.7), and the backend's to answer",
    ),
    "OPTIONS of an absolute-form without a path": Case(
        b"OPTIONS http://b.example HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        "200",
        line=b"OPTIONS * HTTP/1.1",
        there=(b"host: b.example",),
        why="RFC 9112 section 3.2.4: the last proxy turns it into `*`",
    ),
    "a method that nobody knows": Case(
        b"BREW /g HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", "200", line=b"BREW /g HTTP/1.1"
    ),
    "a method in lower case is another method": Case(
        b"get /g HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        "200",
        line=b"get /g HTTP/1.1",
        why="which methods there are is the backend's to say",
    ),
    "TRACE": Case(
        b"TRACE /g HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        "200",
        line=b"TRACE /g HTTP/1.1",
        why="which methods there are is the backend's to say",
    ),
    "empty lines before a request": Case(
        b"\r\n\r\n" + get(HOST + CLOSE), "200", line=b"GET /g HTTP/1.1", there=(b"host: a.example",)
    ),
    "HTTP/1.0 goes out as HTTP/1.1": Case(
        b"GET /g HTTP/1.0\r\n" + HOST + b"\r\n",
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"host: a.example",),
        why="a proxy sends its own version (RFC 9110 section 6.2)",
    ),
    "HTTP/1.0 without a host gets the empty one that RFC 9112 section 3.2 asks for": Case(
        b"GET /g HTTP/1.0\r\n\r\n",
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"host: \r\n",),
        why="an HTTP/1.1 request has a Host",
    ),
    "dot segments, doubled slashes and escapes stay as they are": Case(
        get(HOST + CLOSE, b"/a/../b//c%2fd%00?e=%zz"),
        "200",
        line=b"GET /a/../b//c%2fd%00?e=%zz HTTP/1.1",
        why="the old backend gets what it always got; such a path never matches a listed endpoint",
    ),
    "hop-by-hop fields end here": Case(
        get(
            HOST + b"Connection: close, X-Mine , te\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
            b"Proxy-Connection: close\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: A\r\nX-Kept: 1\r\n"
        ),
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"x-kept: 1",),
        gone=(b"x-mine", b"\nte:", b"keep-alive: 5", b"proxy-", b"upgrade:", b"http2-"),
        why="RFC 9110 section 7.6.1: what Connection names, and the older fields of its kind, go no further",
    ),
    "field names that CGI reads as framing or as ours": Case(
        get(
            HOST + CLOSE + b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n"
            b"X_Forwarded_For: 6.6.6.6\r\nX_Backend: async\r\nHo_st: b\r\n"
        ),
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"ho_st: b",),
        gone=(b"content_length", b"transfer_encoding", b"x_", b"6.6.6.6"),
        why="only names that a CGI-like backend would take for another field are dropped; the rest passes",
    ),
    "repeated fields keep their order, odd bytes their value": Case(
        get(HOST + CLOSE + b"X-A: 1\r\nCookie: a=\xe9\r\nX-A: 2\r\n"),
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"x-a: 1\r\n", b"cookie: a=\xe9\r\n", b"x-a: 2\r\n"),
    ),
    "Range passes": Case(
        get(HOST + CLOSE + b"Range: bytes=0-1, 4-\r\nIf-Range: x\r\n"),
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"range: bytes=0-1, 4-\r\n", b"if-range: x\r\n"),
    ),
    "an X-Forwarded-For of a stranger is replaced": Case(
        get(HOST + CLOSE + b"X-Forwarded-For: 6.6.6.6\r\n"),
        "200",
        line=b"GET /g HTTP/1.1",
        there=(b"x-forwarded-for: 127.0.0.1\r\n",),
        gone=(b"6.6.6.6",),
    ),
}
