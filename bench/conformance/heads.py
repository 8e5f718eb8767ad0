"""Request heads with no meaning, or with more than one (RFC 9112 sections 2, 3 and 5)."""

from __future__ import annotations

from typing import Final

from bench.conformance.case import CHUNKED, HOST, Cases, get, post, refused

LINES: Final[Cases] = {
    "LF alone": refused(400, b"GET /g HTTP/1.1\nHost: a.example\n\n", why="strict"),
    "LF alone in one line": refused(400, get(HOST + b"A: b\nContent-Length: 3\r\n"), why="strict"),
    "CR in a value": refused(400, get(HOST + b"A: b\rContent-Length: 3\r\n")),
    "NUL in a value": refused(400, get(HOST + b"A: b\0\r\n"), why="strict"),
    "NUL in a name": refused(400, get(HOST + b"A\0: b\r\n")),
    "control byte in a value": refused(
        400,
        get(HOST + b"A: \x1b\r\n"),
        why="RFC 9110 section 5.5 calls them invalid; a log or a terminal behind us may obey them",
    ),
    "DEL in a value": refused(
        400,
        get(HOST + b"A: \x7f\r\n"),
        why="RFC 9110 section 5.5 calls them invalid; a log or a terminal behind us may obey them",
    ),
    "fold": refused(400, get(HOST + b"A: b\r\n c\r\n"), why="strict"),
    "fold in the first line": refused(400, get(b" " + HOST)),
    "no colon": refused(400, get(HOST + b"abc\r\n"), why="strict"),
    "empty name": refused(400, get(HOST + b": abc\r\n")),
    "high byte in a name": refused(400, get(HOST + b"\xe9: abc\r\n"), why="strict"),
    "CR CR LF": refused(400, b"GET /g HTTP/1.1\r\r\nHost: a.example\r\r\n\r\r\n\r\n"),
}

REQUEST_LINES: Final[Cases] = {
    "HTTP/0.9": refused(
        400, b"GET /g\r\n\r\n", why="nobody speaks it any more; behind a proxy it is a probe"
    ),
    "two blanks": refused(400, b"GET  /g HTTP/1.1\r\n" + HOST + b"\r\n", why="strict"),
    "tab for a blank": refused(400, b"GET\t/g HTTP/1.1\r\n" + HOST + b"\r\n", why="strict"),
    "blank in the target": refused(400, b"GET /g /h HTTP/1.1\r\n" + HOST + b"\r\n"),
    "blank at the end of the line": refused(400, b"GET /g HTTP/1.1 \r\n" + HOST + b"\r\n", why="strict"),
    "blank before the method": refused(400, b" GET /g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method that is no token": refused(400, b"G(T /g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment": refused(400, get(HOST, b"/g#h"), why="strict"),
    "high byte in the target": refused(400, get(HOST, b"/\xe9"), why="strict"),
    "NUL in the target": refused(400, get(HOST, b"/\0")),
    "lower-case version": refused(400, b"GET /g http/1.1\r\n" + HOST + b"\r\n"),
    "version 1.2": refused(
        505,
        b"GET /g HTTP/1.2\r\n" + HOST + b"\r\n",
        why="there is no HTTP/1.2; RFC 9110 section 2.5 would take it for 1.1, but it is a probe",
    ),
    "version 2.0": refused(
        505,
        b"GET /g HTTP/2.0\r\n" + HOST + b"\r\n",
        why="HTTP/2 has another form on the wire, so this is none",
    ),
    "version 1.10": refused(400, b"GET /g HTTP/1.10\r\n" + HOST + b"\r\n", why="strict"),
    "HTTP/2 preface": refused(505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", why="status"),
    "TLS hello": refused(400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 20),
    "LF before the request": refused(
        400,
        b"\n" + get(HOST),
        why="RFC 9112 section 2.2 asks to skip empty lines that end in CRLF, and those we skip",
    ),
}

TARGETS: Final[Cases] = {
    "no host": refused(400, get(b""), why="RFC 9112 section 3.2: 400"),
    "two hosts": refused(400, get(HOST + b"Host: b.example\r\n")),
    "equal hosts": refused(400, get(HOST + HOST), why="strict"),
    "host with a path": refused(400, get(b"Host: a.example/x\r\n"), why="strict"),
    "host with user": refused(400, get(b"Host: u@a.example\r\n"), why="strict"),
    "host with a blank": refused(400, get(b"Host: a.example b.example\r\n"), why="strict"),
    "host with an open bracket": refused(400, get(b"Host: [::1\r\n"), why="strict"),
    "empty host": refused(400, get(b"Host:\r\n"), why="strict"),
    "port that is no number": refused(400, get(b"Host: a.example:x\r\n"), why="strict"),
    "absolute-form with user": refused(400, get(HOST, b"http://u@a.example/"), why="strict"),
    "absolute-form without host": refused(400, get(HOST, b"http:///g"), why="strict"),
    "absolute-form of another scheme": refused(
        400,
        get(HOST, b"ftp://a.example/g"),
        why="we are no gateway to ftp, and to pass on the path alone would change what was asked for",
    ),
    "authority-form": refused(400, get(HOST, b"a.example:80")),
    "asterisk for GET": refused(400, get(HOST, b"*"), why="strict"),
    "CONNECT": refused(
        501,
        b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        why="a reverse proxy opens no tunnels; 501 says that the method is not offered",
    ),
}

LIMITS: Final[Cases] = {
    "unknown expectation": refused(
        417,
        post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"ab"),
        why="RFC 9110 section 10.1.1: 417, for nobody would meet the expectation",
    ),
    "expectation twice": refused(
        400,
        post(b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n", b"ab"),
        why="strict",
    ),
    "target too long": refused(414, get(HOST, b"/" + b"a" * 2000), why="limit"),
    "request line without an end": refused(414, b"GET /" + b"a" * 5000, why="limit"),
    "head too large": refused(431, get(HOST + b"A: " + b"a" * 5000 + b"\r\n"), why="limit"),
    "too many fields": refused(431, get(HOST + b"A: b\r\n" * 30), why="limit"),
    "body over the limit": refused(413, post(b"Content-Length: 65537\r\n")),
    "chunked body over the limit": refused(
        413, post(CHUNKED, b"10001\r\n" + b"a" * 65537 + b"\r\n0\r\n\r\n")
    ),
}
