"""What two parsers could read differently is refused, or reaches the upstream in one reading.

Every refusal is followed by a sentinel request: had anything of the refused bytes gone out, the upstream
would have seen it before the sentinel.
"""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Wire, ok

HOST = b"Host: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes, target: bytes = b"/g") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\n"


class Upstream:
    """Answers every request and keeps all bytes that came, in order."""

    def __init__(self, stage: Stage) -> None:
        self.received = bytearray()
        self._sentinels = itertools.count()
        self.script = stage.upstream(self._serve)
        limits = "header_bytes: 4KiB, headers: 20, target_bytes: 1KiB, body_bytes: 64KiB"
        self.edge: Edge = stage.edge(self.script.url, rest=f"server: {{limits: {{{limits}}}}}")

    def _serve(self, wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self.received += wire.request()
                wire.send(ok())

    def since_last_call(self) -> bytes:
        """What came before a sentinel that is sent now."""
        mark = b"/sentinel-%d" % next(self._sentinels)
        assert self.edge.ask(get(HOST, mark)).status == 200
        before, _, after = bytes(self.received).partition(b"GET " + mark)
        assert after.count(b" HTTP/1.1\r\n") == 1
        self.received.clear()
        return before


@pytest.fixture(scope="module")
def upstream(module_stage: Stage) -> Upstream:
    return Upstream(module_stage)


def exchange(edge: Edge, data: bytes) -> bytes:
    """All that comes back; the edge closes the connection."""
    with contextlib.closing(edge.connect()) as wire:
        wire.send(data)
        return wire.read_all()


REFUSED = {
    # two framings in one request
    "length and chunked": (400, post(b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\nX")),
    "chunked and length": (400, post(CHUNKED + b"Content-Length: 4\r\n", b"0\r\n\r\n")),
    "equal lengths twice": (400, post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab")),
    "different lengths": (400, post(b"Content-Length: 2\r\nContent-Length: 0\r\n", b"ab")),
    "lengths in a list": (400, post(b"Content-Length: 2, 2\r\n", b"ab")),
    "length twice in other case": (400, post(b"Content-Length: 2\r\ncontent-length: 2\r\n", b"ab")),
    # odd lengths
    "signed length": (400, post(b"Content-Length: +2\r\n", b"ab")),
    "negative length": (400, post(b"Content-Length: -2\r\n", b"ab")),
    "hexadecimal length": (400, post(b"Content-Length: 0x2\r\n", b"ab")),
    "length with underscore": (400, post(b"Content-Length: 1_0\r\n", b"ab")),
    "fractional length": (400, post(b"Content-Length: 2.0\r\n", b"ab")),
    "empty length": (400, post(b"Content-Length:\r\n", b"ab")),
    "length with a blank inside": (400, post(b"Content-Length: 1 2\r\n", b"ab")),
    "huge length": (400, post(b"Content-Length: 18446744073709551618\r\n", b"ab")),
    "length in other digits": (400, post("Content-Length: ٢\r\n".encode(), b"ab")),
    "length with vertical tab": (400, post(b"Content-Length: \x0b2\r\n", b"ab")),
    # Transfer-Encoding
    "coding that is unknown": (400, post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    "coding before chunked": (501, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    "coding after chunked": (400, post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n")),
    "chunked twice in a list": (501, post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    "chunked in two lines": (400, post(CHUNKED + CHUNKED, b"0\r\n\r\n")),
    "chunked and identity in two lines": (
        400,
        post(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    ),
    "chunked in quotes": (400, post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n")),
    "chunked with parameter": (400, post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n")),
    "chunked behind vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    "chunked behind NUL": (400, post(b"Transfer-Encoding: chunked\0\r\n", b"0\r\n\r\n")),
    "chunked and a comma": (501, post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n")),
    "empty coding": (400, post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n")),
    "blank before the colon": (400, post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
    "tab before the colon": (400, post(b"Content-Length\t: 2\r\n", b"ab")),
    "chunked in HTTP/1.0": (400, b"POST /p HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n"),
    "folded coding": (400, post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n")),
    "folded length": (400, post(b"Content-Length:\r\n\t2\r\n", b"ab")),
    # chunks
    "chunk size over 64 bits": (400, post(CHUNKED, b"10000000000000001\r\na\r\n0\r\n\r\n")),
    "negative chunk size": (400, post(CHUNKED, b"-1\r\na\r\n0\r\n\r\n")),
    "chunk size with 0x": (400, post(CHUNKED, b"0x1\r\na\r\n0\r\n\r\n")),
    "chunk size behind a blank": (400, post(CHUNKED, b" 1\r\na\r\n0\r\n\r\n")),
    "empty chunk size": (400, post(CHUNKED, b"\r\na\r\n0\r\n\r\n")),
    "chunk longer than its size": (400, post(CHUNKED, b"1\r\nab\r\n0\r\n\r\n")),
    "chunk shorter than its size": (400, post(CHUNKED, b"3\r\na\r\n0\r\n\r\n")),
    "chunk ended by LF": (400, post(CHUNKED, b"1\r\na\n0\r\n\r\n")),
    "chunk size ended by LF": (400, post(CHUNKED, b"1\na\r\n0\r\n\r\n")),
    "LF hidden in a chunk extension": (400, post(CHUNKED, b"1;a\nb\r\na\r\n0\r\n\r\n")),
    "CR hidden in a chunk extension": (400, post(CHUNKED, b"1;a\rb\r\na\r\n0\r\n\r\n")),
    "long chunk extension": (400, post(CHUNKED, b"1;" + b"a" * 5000 + b"\r\na\r\n0\r\n\r\n")),
    "trailer without a colon": (400, post(CHUNKED, b"0\r\nabc\r\n\r\n")),
    "trailer with LF": (400, post(CHUNKED, b"0\r\na: b\nc: d\r\n\r\n")),
    "trailer flood": (400, post(CHUNKED, b"0\r\n" + b"a: b\r\n" * 4000 + b"\r\n")),
    # line ends and control bytes
    "LF alone": (400, b"GET /g HTTP/1.1\nHost: a.example\n\n"),
    "LF alone in one line": (400, get(HOST + b"A: b\nContent-Length: 3\r\n")),
    "CR in a value": (400, get(HOST + b"A: b\rContent-Length: 3\r\n")),
    "NUL in a value": (400, get(HOST + b"A: b\0\r\n")),
    "NUL in a name": (400, get(HOST + b"A\0: b\r\n")),
    "control byte in a value": (400, get(HOST + b"A: \x1b\r\n")),
    "DEL in a value": (400, get(HOST + b"A: \x7f\r\n")),
    "fold": (400, get(HOST + b"A: b\r\n c\r\n")),
    "fold in the first line": (400, get(b" " + HOST)),
    "no colon": (400, get(HOST + b"abc\r\n")),
    "empty name": (400, get(HOST + b": abc\r\n")),
    "high byte in a name": (400, get(HOST + b"\xe9: abc\r\n")),
    "CR CR LF": (400, b"GET /g HTTP/1.1\r\r\nHost: a.example\r\r\n\r\r\n\r\n"),
    # request line
    "HTTP/0.9": (400, b"GET /g\r\n\r\n"),
    "two blanks": (400, b"GET  /g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab for a blank": (400, b"GET\t/g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "blank in the target": (400, b"GET /g /h HTTP/1.1\r\n" + HOST + b"\r\n"),
    "blank at the end of the line": (400, b"GET /g HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "blank before the method": (400, b" GET /g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method that is no token": (400, b"G(T /g HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment": (400, get(HOST, b"/g#h")),
    "high byte in the target": (400, get(HOST, b"/\xe9")),
    "NUL in the target": (400, get(HOST, b"/\0")),
    "lower-case version": (400, b"GET /g http/1.1\r\n" + HOST + b"\r\n"),
    "version 1.2": (505, b"GET /g HTTP/1.2\r\n" + HOST + b"\r\n"),
    "version 2.0": (505, b"GET /g HTTP/2.0\r\n" + HOST + b"\r\n"),
    "version 1.10": (400, b"GET /g HTTP/1.10\r\n" + HOST + b"\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 20),
    "LF before the request": (400, b"\n" + get(HOST)),
    # target and host
    "no host": (400, get(b"")),
    "two hosts": (400, get(HOST + b"Host: b.example\r\n")),
    "equal hosts": (400, get(HOST + HOST)),
    "host with a path": (400, get(b"Host: a.example/x\r\n")),
    "host with user": (400, get(b"Host: u@a.example\r\n")),
    "host with a blank": (400, get(b"Host: a.example b.example\r\n")),
    "host with a list": (400, get(b"Host: [::1\r\n")),
    "empty host": (400, get(b"Host:\r\n")),
    "port that is no number": (400, get(b"Host: a.example:x\r\n")),
    "absolute-form with user": (400, get(HOST, b"http://u@a.example/")),
    "absolute-form without host": (400, get(HOST, b"http:///g")),
    "absolute-form of another scheme": (400, get(HOST, b"ftp://a.example/g")),
    "authority-form": (400, get(HOST, b"a.example:80")),
    "asterisk for GET": (400, get(HOST, b"*")),
    "CONNECT": (501, b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    # expectations and limits
    "unknown expectation": (417, post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"ab")),
    "expectation twice": (
        400,
        post(b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n", b"ab"),
    ),
    "target too long": (414, get(HOST, b"/" + b"a" * 2000)),
    "request line without an end": (414, b"GET /" + b"a" * 5000),
    "head too large": (431, get(HOST + b"A: " + b"a" * 5000 + b"\r\n")),
    "too many fields": (431, get(HOST + b"A: b\r\n" * 30)),
    "body over the limit": (413, post(b"Content-Length: 65537\r\n")),
    "chunked body over the limit": (413, post(CHUNKED, b"10001\r\n" + b"a" * 65537 + b"\r\n0\r\n\r\n")),
}


@pytest.mark.parametrize("hidden", [b"", HIDDEN], ids=["alone", "with a request behind it"])
@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_and_nothing_of_it_goes_out(
    upstream: Upstream, status: int, data: bytes, hidden: bytes
) -> None:
    answer = exchange(upstream.edge, data + hidden)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\nx-proxy-error: source=client; kind=" in answer
    assert upstream.since_last_call() == b""


# name: (sent, request line and body at the upstream, fields that are there, fields that are not)
NORMALISED = {
    "chunk extensions are dropped": (
        post(CHUNKED + b"Connection: close\r\n", b'2;a="b;c"\r\nab\r\n0;x\r\n\r\n'),
        (b"POST /p HTTP/1.1", b"ab"),
        [b"content-length: 2"],
        [b"transfer-encoding"],
    ),
    "chunk sizes may have zeros in front and either case": (
        post(
            CHUNKED + b"Connection: close\r\n",
            b"00000000000000a\r\n0123456789\r\nA \t;\r\n0123456789\r\n0\r\n\r\n",
        ),
        (b"POST /p HTTP/1.1", b"0123456789" * 2),
        [b"content-length: 20"],
        [b"transfer-encoding"],
    ),
    "the coding's name has no case": (
        post(b"TRANSFER-ENCODING: \t ChunkeD \t \r\nConnection: close\r\n", b"1\r\na\r\n0\r\n\r\n"),
        (b"POST /p HTTP/1.1", b"a"),
        [b"content-length: 1"],
        [b"transfer-encoding"],
    ),
    "request trailers end here": (
        post(CHUNKED + b"Connection: close\r\n", b"1\r\na\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n"),
        (b"POST /p HTTP/1.1", b"a"),
        [b"content-length: 1"],
        [b"x:"],
    ),
    "zeros in front of a length": (
        post(b"Content-Length: 0002\r\nConnection: close\r\n", b"ab"),
        (b"POST /p HTTP/1.1", b"ab"),
        [b"content-length: 0002"],
        [],
    ),
    "absolute-form wins over host": (
        get(HOST + b"Connection: close\r\n", b"http://b.example:81/g?x=http://c/"),
        (b"GET /g?x=http://c/ HTTP/1.1", b""),
        [b"host: b.example:81", b"x-forwarded-host: b.example:81"],
        [b"a.example"],
    ),
    "absolute-form without a path": (
        get(HOST + b"Connection: close\r\n", b"HTTP://b.example?x=1"),
        (b"GET /?x=1 HTTP/1.1", b""),
        [b"host: b.example"],
        [b"a.example"],
    ),
    "OPTIONS *": (
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        (b"OPTIONS * HTTP/1.1", b""),
        [b"host: a.example"],
        [],
    ),
    "OPTIONS of an absolute-form without a path": (
        b"OPTIONS http://b.example HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        (b"OPTIONS * HTTP/1.1", b""),
        [b"host: b.example"],
        [],
    ),
    "empty lines before a request": (
        b"\r\n\r\n" + get(HOST + b"Connection: close\r\n"),
        (b"GET /g HTTP/1.1", b""),
        [b"host: a.example"],
        [],
    ),
    "HTTP/1.0 goes out as HTTP/1.1": (
        b"GET /g HTTP/1.0\r\n" + HOST + b"\r\n",
        (b"GET /g HTTP/1.1", b""),
        [b"host: a.example"],
        [],
    ),
    "HTTP/1.0 without a host gets the empty one that RFC 9112 section 3.2 asks for": (
        b"GET /g HTTP/1.0\r\n\r\n",
        (b"GET /g HTTP/1.1", b""),
        [b"host: \r\n"],
        [],
    ),
    "hop-by-hop fields end here": (
        get(
            HOST + b"Connection: close, X-Mine , te\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
            b"Proxy-Connection: close\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: A\r\nX-Kept: 1\r\n"
        ),
        (b"GET /g HTTP/1.1", b""),
        [b"x-kept: 1"],
        [b"x-mine", b"\nte:", b"keep-alive", b"proxy-", b"upgrade", b"http2-", b"connection"],
    ),
    "framing fields can not be named away": (
        post(b"Content-Length: 2\r\nConnection: close, content-length, host\r\n", b"ab"),
        (b"POST /p HTTP/1.1", b"ab"),
        [b"content-length: 2", b"host: a.example"],
        [b"connection"],
    ),
    "a GET may have a body": (
        get(HOST + b"Content-Length: 2\r\nConnection: close\r\n") + b"ab",
        (b"GET /g HTTP/1.1", b"ab"),
        [b"content-length: 2"],
        [],
    ),
    "field names that CGI reads as framing or as ours": (
        get(
            HOST + b"Connection: close\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
            b"X_Forwarded_For: 6.6.6.6\r\nX_Backend: async\r\nHo_st: b\r\n"
        ),
        (b"GET /g HTTP/1.1", b""),
        [b"ho_st: b"],
        [b"content_length", b"transfer_encoding", b"x_", b"6.6.6.6"],
    ),
}


@pytest.mark.parametrize(("data", "line_and_body", "there", "gone"), NORMALISED.values(), ids=NORMALISED)
def test_it_goes_out_once_in_one_reading(
    upstream: Upstream, data: bytes, line_and_body: tuple[bytes, bytes], there: list[bytes], gone: list[bytes]
) -> None:
    answer = exchange(upstream.edge, data)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    received = upstream.since_last_call()
    head, _, body = received.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == line_and_body
    assert len(re.findall(rb"(?im)^(content-length|transfer-encoding):", head)) <= 1
    lowered = head.lower() + b"\r\n"
    assert [name for name in there if b"\n" + name not in lowered] == []
    assert [name for name in gone if name in lowered] == []


def test_bytes_behind_a_body_are_the_next_request_and_nothing_else(upstream: Upstream) -> None:
    answer = exchange(
        upstream.edge,
        post(b"Content-Length: 3\r\n", b"abc")
        + post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")
        + get(HOST + b"Connection: close\r\n")
        + HIDDEN,
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    received = upstream.since_last_call()
    assert re.findall(rb"((?:POST|GET) /\S+) HTTP/1.1\r\n", received) == [b"POST /p", b"POST /p", b"GET /g"]


@pytest.mark.parametrize("cut", [b"\r", b"\r\n", b"\r\n\r"], ids=repr)
def test_empty_lines_before_a_request_may_come_in_pieces(upstream: Upstream, cut: bytes) -> None:
    data = b"\r\n\r\n" + get(HOST)
    with contextlib.closing(upstream.edge.connect()) as wire:
        wire.send(cut)
        upstream.since_last_call()  # by then the edge has read the first piece
        wire.send(data[len(cut) :])
        assert wire.response().status == 200
    assert upstream.since_last_call().startswith(b"GET /g ")


def test_any_number_of_empty_lines_costs_one_pass(upstream: Upstream) -> None:
    """Taking them off one by one would copy what is left each time: minutes, for this many."""
    answer = exchange(upstream.edge, b"\r\n" * 2_000_000 + get(HOST + b"Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert upstream.since_last_call().startswith(b"GET /g ")
