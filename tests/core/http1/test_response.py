from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.http1.grammar import Malformed
from proxy.core.http1.response import CHUNKED, UNTIL_CLOSE, ResponseHead, parse_response


def parse(fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    return parse_response(line + b"\r\n" + fields + b"\r\n", method)


@pytest.mark.parametrize(
    ("line", "method", "fields", "length"),
    [
        (b"HTTP/1.1 200 OK", "GET", b"Content-Length: 12\r\n", 12),
        (b"HTTP/1.1 200 OK", "GET", b"Transfer-Encoding: Chunked\r\n", CHUNKED),
        (b"HTTP/1.1 200 OK", "GET", b"", UNTIL_CLOSE),
        (b"HTTP/1.0 200 OK", "GET", b"Content-Length: 12\r\n", 12),
        (b"HTTP/1.0 200 OK", "GET", b"", UNTIL_CLOSE),
        (b"HTTP/1.1 200 OK", "HEAD", b"Content-Length: 12\r\n", 0),
        (b"HTTP/1.1 200 OK", "HEAD", b"Transfer-Encoding: chunked\r\n", 0),
        (b"HTTP/1.1 200 OK", "HEAD", b"", 0),
        (b"HTTP/1.1 204 No Content", "GET", b"Content-Length: 12\r\n", 0),
        (b"HTTP/1.1 304 Not Modified", "GET", b"Content-Length: 12\r\n", 0),
        (b"HTTP/1.1 103 Early Hints", "GET", b"", 0),
        (b"HTTP/1.1 205 Reset Content", "GET", b"", UNTIL_CLOSE),
        (b"HTTP/1.1 599 Odd", "GET", b"Content-Length: 0\r\n", 0),
    ],
)
def test_where_the_body_ends(line: bytes, method: str, fields: bytes, length: int) -> None:
    assert parse(fields, line, method).length == length


@pytest.mark.parametrize(
    ("line", "fields", "kept"),
    [
        (b"HTTP/1.1 200 OK", b"Content-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK", b"Content-Length: 0\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK", b"Content-Length: 0\r\nConnection: a, CLOSE\r\n", False),
        (b"HTTP/1.1 200 OK", b"", False),
        (b"HTTP/1.0 200 OK", b"Content-Length: 0\r\n", False),
        (b"HTTP/1.0 200 OK", b"Content-Length: 0\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked\r\nConnection: Keep-Alive\r\n", False),
    ],
)
def test_whether_the_connection_is_kept(line: bytes, fields: bytes, kept: bool) -> None:
    assert parse(fields, line).keep_alive == kept


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 404 Not \xe9 (found)"])
def test_the_status_line_is_kept(line: bytes) -> None:
    response = parse(b"", line)
    assert response.line == line[9:]
    assert response.status == int(line[9:12])


def test_a_status_line_without_a_reason_gets_the_blank_that_belongs_there() -> None:
    assert parse(b"", b"HTTP/1.1 200").line == b"200 "


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "bad_status_line"),
        (b"http/1.1 200 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 200 O\tK\x00\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_framing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", "bad_framing"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "bad_framing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_framing"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 257 + b"\r\n", "too_many_headers"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "bad_header"),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", "bad_header"),
    ],
)
def test_what_has_no_single_meaning_is_malformed(data: bytes, kind: str) -> None:
    with pytest.raises(Malformed) as raised:
        parse_response(data, "GET")
    assert raised.value.kind == kind


names = st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Connection", b"X-A", b"A B", b""])
values = st.sampled_from(
    [
        b"0",
        b"3",
        b"+3",
        b"3, 3",
        b"chunked",
        b"gzip, chunked",
        b"close",
        b"keep-alive",
        b"",
        b"\xe9",
        b"a\x00",
        b"a\rb",
    ]
)
lines = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 404 ",
        b"HTTP/1.1 204 N",
        b"HTTP/1.1 304 N",
        b"HTTP/1.1 OK",
    ]
)
heads = st.tuples(lines, st.lists(st.tuples(names, values), max_size=4)).map(
    lambda given: b"".join(
        [given[0], b"\r\n", *[name + b": " + value + b"\r\n" for name, value in given[1]], b"\r\n"]
    )
)


@given(heads, st.sampled_from(["GET", "HEAD"]))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET")
@example(b"HTTP/1.1 200 OK\r\n\r\n", "GET")
def test_oracle_h11_accepts_what_we_accept_and_finds_the_same_body(data: bytes, method: str) -> None:
    try:
        ours = parse_response(data, method)
    except Malformed:
        return
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    body = {CHUNKED: b"3\r\nabc\r\n0\r\n\r\n", UNTIL_CLOSE: b"abc"}.get(ours.length, b"x" * ours.length)
    connection.receive_data(data + body)
    if ours.length == UNTIL_CLOSE:
        connection.receive_data(b"")
    event = connection.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == ours.status
    received = b""
    while isinstance(event := connection.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == (b"abc" if ours.length < 0 else body)


@given(st.one_of(st.binary(max_size=200), heads))
@example(b"\r\n\r\n")
@example(b"")
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert 100 <= parse_response(data, "GET").status <= 999


def test_every_connection_line_counts_also_where_the_last_one_says_keep_alive() -> None:
    lines = b"Connection: close\r\nConnection: X-Hop\r\nConnection: keep-alive\r\nContent-Length: 0\r\n"
    response = parse_response(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", "GET")
    assert response.connection == (b"close", b"x-hop", b"keep-alive")
    assert not response.keep_alive
