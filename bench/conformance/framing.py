"""Requests whose body two parsers could take to end in different places (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

from typing import Final

from bench.conformance.case import CHUNKED, HOST, Cases, post, refused

LENGTHS: Final[Cases] = {
    "length and chunked": refused(
        400,
        post(b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\nX"),
        why="RFC 9112 section 6.3 lets a proxy drop the length; it also calls this an attempt at smuggling",
    ),
    "chunked and length": refused(
        400,
        post(CHUNKED + b"Content-Length: 4\r\n", b"0\r\n\r\n"),
        why="RFC 9112 section 6.3 lets a proxy drop the length; it also calls this an attempt at smuggling",
    ),
    "equal lengths twice": refused(
        400, post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab"), why="strict"
    ),
    "different lengths": refused(400, post(b"Content-Length: 2\r\nContent-Length: 0\r\n", b"ab")),
    "lengths in a list": refused(400, post(b"Content-Length: 2, 2\r\n", b"ab"), why="strict"),
    "length twice in other case": refused(
        400, post(b"Content-Length: 2\r\ncontent-length: 2\r\n", b"ab"), why="strict"
    ),
    "signed length": refused(400, post(b"Content-Length: +2\r\n", b"ab")),
    "negative length": refused(400, post(b"Content-Length: -2\r\n", b"ab")),
    "hexadecimal length": refused(400, post(b"Content-Length: 0x2\r\n", b"ab")),
    "length with underscore": refused(400, post(b"Content-Length: 1_0\r\n", b"ab")),
    "fractional length": refused(400, post(b"Content-Length: 2.0\r\n", b"ab")),
    "empty length": refused(400, post(b"Content-Length:\r\n", b"ab")),
    "length with a blank inside": refused(400, post(b"Content-Length: 1 2\r\n", b"ab")),
    "huge length": refused(400, post(b"Content-Length: 18446744073709551618\r\n", b"ab"), why="strict"),
    "length in other digits": refused(400, post("Content-Length: ٢\r\n".encode(), b"ab")),
    "length with vertical tab": refused(400, post(b"Content-Length: \x0b2\r\n", b"ab")),
}

CODINGS: Final[Cases] = {
    "coding that is unknown": refused(
        400, post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), why="status"
    ),
    "coding before chunked": refused(
        501, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), why="status"
    ),
    "coding after chunked": refused(
        400, post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), why="status"
    ),
    "chunked twice in a list": refused(
        501, post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), why="status"
    ),
    "chunked in two lines": refused(400, post(CHUNKED + CHUNKED, b"0\r\n\r\n")),
    "chunked and identity in two lines": refused(
        400,
        post(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    ),
    "chunked in quotes": refused(400, post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), why="status"),
    "chunked with parameter": refused(
        400, post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"), why="status"
    ),
    "chunked behind vertical tab": refused(
        400, post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), why="status"
    ),
    "chunked behind NUL": refused(400, post(b"Transfer-Encoding: chunked\0\r\n", b"0\r\n\r\n")),
    "chunked and a comma": refused(501, post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"), why="status"),
    "empty coding": refused(400, post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), why="status"),
    "blank before the colon": refused(400, post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
    "tab before the colon": refused(400, post(b"Content-Length\t: 2\r\n", b"ab")),
    "chunked in HTTP/1.0": refused(
        400,
        b"POST /p HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
        why="RFC 9112 section 6.1: such framing is faulty; the client may not know chunks at all",
    ),
    "folded coding": refused(400, post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), why="strict"),
    "folded length": refused(400, post(b"Content-Length:\r\n\t2\r\n", b"ab"), why="strict"),
}

CHUNKS: Final[Cases] = {
    "chunk size over 64 bits": refused(400, post(CHUNKED, b"10000000000000001\r\na\r\n0\r\n\r\n")),
    "negative chunk size": refused(400, post(CHUNKED, b"-1\r\na\r\n0\r\n\r\n")),
    "chunk size with 0x": refused(400, post(CHUNKED, b"0x1\r\na\r\n0\r\n\r\n")),
    "chunk size behind a blank": refused(400, post(CHUNKED, b" 1\r\na\r\n0\r\n\r\n")),
    "empty chunk size": refused(400, post(CHUNKED, b"\r\na\r\n0\r\n\r\n")),
    "chunk longer than its size": refused(400, post(CHUNKED, b"1\r\nab\r\n0\r\n\r\n")),
    "chunk shorter than its size": refused(400, post(CHUNKED, b"3\r\na\r\n0\r\n\r\n")),
    "chunk ended by LF": refused(400, post(CHUNKED, b"1\r\na\n0\r\n\r\n"), why="strict"),
    "chunk size ended by LF": refused(400, post(CHUNKED, b"1\na\r\n0\r\n\r\n"), why="strict"),
    "LF hidden in a chunk extension": refused(400, post(CHUNKED, b"1;a\nb\r\na\r\n0\r\n\r\n")),
    "CR hidden in a chunk extension": refused(400, post(CHUNKED, b"1;a\rb\r\na\r\n0\r\n\r\n")),
    "long chunk extension": refused(
        400, post(CHUNKED, b"1;" + b"a" * 5000 + b"\r\na\r\n0\r\n\r\n"), why="strict"
    ),
    "trailer without a colon": refused(400, post(CHUNKED, b"0\r\nabc\r\n\r\n"), why="strict"),
    "trailer with LF": refused(400, post(CHUNKED, b"0\r\na: b\nc: d\r\n\r\n"), why="strict"),
    "trailer flood": refused(400, post(CHUNKED, b"0\r\n" + b"a: b\r\n" * 4000 + b"\r\n"), why="strict"),
}
