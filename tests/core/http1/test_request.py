"""Request heads. What is refused and why is in tests/edge/test_smuggling.py, as answers on the wire; here are
the values that come out, and the oracles: what is accepted, h11 and llhttp read the same way."""

from __future__ import annotations

import contextlib
from typing import Any

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead, check_partial, parse_request
from proxy.core.settings import Limits

LIMITS = Limits()


def parse(data: bytes) -> RequestHead:
    return parse_request(data, LIMITS)


def head(fields: bytes = b"", line: bytes = b"GET /a HTTP/1.1", host: bytes = b"Host: h\r\n") -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n"


def test_the_parts_of_a_head_come_out_as_sent() -> None:
    parsed = parse(b"POST /a?b=%20&c HTTP/1.1\r\nHost: A.Example:81\r\nX-y:  z\t\r\nx-Y:\r\n\r\n")
    assert (parsed.method, parsed.target, parsed.host) == ("POST", b"/a?b=%20&c", b"A.Example:81")
    assert parsed.fields.pairs() == [(b"Host", b"A.Example:81"), (b"X-y", b"z"), (b"x-Y", b"")]
    assert (parsed.fields.minor, parsed.fields.keep_alive, parsed.fields.chunked) == (1, True, False)
    assert parsed.fields.content_length == 0
    assert parsed.get(b"x-y") == b"z"
    assert parsed.get(b"nothing") is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(b"Content-Length: 12\r\n", {"content_length": 12}, id="length"),
        pytest.param(b"content-length:0\r\n", {"content_length": 0}, id="length 0"),
        pytest.param(b"Transfer-Encoding: CHUNKED\r\n", {"chunked": True}, id="chunked"),
        pytest.param(b"Connection: close\r\n", {"keep_alive": False}, id="close"),
        pytest.param(b"Connection: a\r\nConnection: b, ,CLOSE\r\n", {"keep_alive": False}, id="lists"),
        pytest.param(b"Connection: closed\r\n", {"keep_alive": True}, id="not close"),
        pytest.param(b"Expect: 100-Continue\r\n", {"expect_continue": True}, id="expect"),
        pytest.param(b"X-Content-Length: 5\r\n", {"content_length": 0}, id="another field"),
        pytest.param(b"A: b\r\nContent-Length: 5\r\n", {"content_length": 5}, id="not first"),
    ],
)
def test_what_fields_mean_for_framing(fields: bytes, expected: dict[str, Any]) -> None:
    parsed = parse(head(fields)).fields
    assert {name: getattr(parsed, name) for name in expected} == expected


def test_http_10_does_not_keep_alive_unless_asked() -> None:
    line = b"GET /a HTTP/1.0"
    assert not parse(head(line=line)).fields.keep_alive
    assert parse(head(b"Connection: keep-alive\r\n", line)).fields.keep_alive
    assert not parse(head(b"Expect: 100-continue\r\n", line)).fields.expect_continue
    assert parse(head(line=line, host=b"")).host == b""


@pytest.mark.parametrize(
    "host", ["h", "a.b-c_d~e", "127.0.0.1:80", "[::1]", "[2001:db8::1]:8080", "h:", "%41", "a" * 255]
)
def test_hosts_that_are_accepted(host: str) -> None:
    assert parse(head(host=f"Host: {host}\r\n".encode())).host == host.encode()


@pytest.mark.parametrize(
    "host", ["", "[::1", "::1", "h:80:80", "h:123456", "h h", "h/", "u@h", "h?", "[h]", "ü"]
)
def test_hosts_that_are_refused(host: str) -> None:
    with pytest.raises(Malformed) as raised:
        parse(head(host=f"Host: {host}\r\n".encode()))
    assert (raised.value.status, raised.value.kind) == (400, "bad_host")


def test_special_names_are_found_and_others_are_not() -> None:
    parsed = parse(
        head(b"X-Backend: a\r\nConnectionx: b\r\nx_y: c\r\nX-Forwarded-Foo: d\r\nVia: e\r\nA: via: f\r\n")
    )
    assert list(parsed.fields.special) == [b"host", b"x-backend", b"x_y", b"x-forwarded-foo", b"via"]


def test_a_known_header_block_is_taken_over_and_another_is_not() -> None:
    first = parse(head(b"A: b\r\n")).fields
    assert parse_request(head(b"A: b\r\n", b"POST /c HTTP/1.1"), LIMITS, first).fields is first
    assert parse_request(head(b"A: c\r\n"), LIMITS, first).fields is not first
    other_version = parse_request(head(b"A: b\r\n", b"GET /a HTTP/1.0"), LIMITS, first).fields
    assert (other_version is first, other_version.keep_alive) == (False, False)


def test_a_head_from_plain_strings_is_parsed_like_one_from_the_wire() -> None:
    made = RequestHead.of("GET", "/a", {"x-user-id": "7", "host": "h"})
    assert (made.method, made.host, made.get(b"x-user-id")) == ("GET", b"h", b"7")
    with pytest.raises(Malformed):
        RequestHead.of("GET", "/a b")
    with pytest.raises(Malformed):
        RequestHead.of("GET", "/a", {"x": "a\nb: c"})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /" + b"a" * 40_000, 414, id="endless request line"),
        pytest.param(head()[:-2] + b"A: " + b"b" * 40_000, 431, id="endless field"),
        pytest.param(b"GET / HTTP/1.1\n", 400, id="LF"),
        pytest.param(b"GET / HTTP/3.0\r\n", 505, id="version"),
        pytest.param(b"\x16\x03\x01", 400, id="TLS"),
        pytest.param(b"G\xe9T", 400, id="method"),
        pytest.param(b"GET / HTTP/1.1 x", 400, id="behind the version"),
    ],
)
def test_a_beginning_that_can_not_end_well_is_refused_early(data: bytes, status: int) -> None:
    with pytest.raises(Malformed) as raised:
        check_partial(data, LIMITS)
    assert raised.value.status == status


# strategies: mostly well-formed, with the mistakes and oddities that matter mixed in

names = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Expect",
        b"X-A",
        b"x_b",
        b"A B",
        b"",
        b"C:",
    ]
)
values = st.one_of(
    st.sampled_from(
        [b"h", b"h:80", b"0", b"3", b"+3", b"3,3", b"chunked", b"Chunked", b" chunked ", b"gzip, chunked",
         b"close", b"keep-alive", b"100-continue", b"", b"a\tb", b"\xe9", b"a\x00", b"a\x0bb", b"a\rb",
         b"a\nb", b"[::1]"]
    ),
    st.text("abc,; =\t\"", max_size=8).map(str.encode),
)  # fmt: skip
fields = st.lists(st.tuples(names, st.sampled_from([b":", b": ", b":\t", b" :"]), values), max_size=5)
lines = st.tuples(
    st.sampled_from([b"GET", b"POST", b"get", b"M-SEARCH", b"G@T", b"OPTIONS", b""]),
    st.sampled_from([b" ", b"  ", b"\t"]),
    st.one_of(
        st.sampled_from(
            [b"/", b"/a?b", b"*", b"http://h/a", b"https://h:1", b"//x", b"/a#b", b"/\xe9", b"h:80"]
        ),
        st.text("/abc%?&=.;:@!$'()*+,[]{}|^`\\<>\"", max_size=8).map(lambda text: b"/" + text.encode()),
    ),
    st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.1 ", b"", b" HTTP/2.0"]),
).map(b"".join)
ends = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r"])


good_lines = st.sampled_from(
    [
        b"GET /a HTTP/1.1",
        b"POST /a?b HTTP/1.1",
        b"GET http://h:1/a HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"POST / HTTP/1.0",
    ]
)
good_fields = st.lists(
    st.sampled_from(
        [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close",
         b"Connection: x, keep-alive", b"X-A:\tb \xe9\t", b"x_b:", b"TE: trailers"]
    ),
    max_size=4,
)  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Half of them are well-formed but for what their fields mean together; in the others all may be odd."""
    if draw(st.booleans()):
        return b"\r\n".join([draw(good_lines), b"Host: h", *draw(good_fields), b"", b""])
    data = draw(lines) + draw(ends)
    if draw(st.integers(0, 9)):
        data += b"Host: h" + draw(ends)
    for field in draw(fields):
        data += b"".join(field) + draw(ends)
    return data + draw(ends)


def accepted(data: bytes) -> RequestHead | None:
    try:
        return parse(data)
    except Malformed:
        return None


@given(heads())
@example(head(b"Content-Length: 3\r\n"))
def test_oracle_h11_accepts_what_we_accept_and_reads_the_same(data: bytes) -> None:
    ours = accepted(data)
    if ours is None:
        return
    connection = h11.Connection(h11.SERVER)
    body = b"3\r\nabc\r\n0\r\n\r\n" if ours.fields.chunked else b"x" * ours.fields.content_length
    connection.receive_data(data + body)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == ours.method.encode()
    assert event.http_version == b"1.%d" % ours.fields.minor
    assert [value for name, value in event.headers if name != b"transfer-encoding"] == [
        value for name, value in ours.fields.pairs() if name.lower() != b"transfer-encoding"
    ]
    received = b""
    while isinstance(event := connection.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == (b"abc" if ours.fields.chunked else body)
    assert connection.trailing_data[0] == b""


class Llhttp:
    """What llhttp says about a message."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = 0
        self.keep_alive = False
        self.parser = httptools.HttpRequestParser(self)
        # An Upgrade field on a message is no error.
        with contextlib.suppress(httptools.HttpParserUpgrade):
            self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1
        self.keep_alive = self.parser.should_keep_alive()


@given(heads())
@example(head(b"Transfer-Encoding: chunked\r\n"))
def test_oracle_llhttp_accepts_what_we_accept_and_reads_the_same(data: bytes) -> None:
    ours = accepted(data)
    if ours is None or ours.method not in ("GET", "POST", "OPTIONS", "M-SEARCH"):
        return  # llhttp knows a list of methods only
    body = b"3\r\nabc\r\n0\r\n\r\n" if ours.fields.chunked else b"x" * ours.fields.content_length
    theirs = Llhttp(data + body)
    assert theirs.complete == 1
    assert theirs.parser.get_method() == ours.method.encode()
    assert theirs.parser.get_http_version() == f"1.{ours.fields.minor}"
    assert theirs.body == (b"abc" if ours.fields.chunked else body)
    assert [(name, value.strip()) for name, value in theirs.fields] == ours.fields.pairs()
    if b"://" not in theirs.target:
        assert theirs.target == ours.target
    if not {b"close", b"keep-alive"} <= set(
        ours.fields.connection
    ):  # close wins, RFC 9112 section 9.3; not there
        assert theirs.keep_alive == ours.fields.keep_alive


@given(st.one_of(st.binary(max_size=200), heads()))
@example(b"\r\n\r\n")
@example(b" \r\n\r\n")
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        parsed = parse(data)
        assert parsed.target
    with contextlib.suppress(Malformed):
        check_partial(data, LIMITS)


@given(heads(), st.integers(0, 100))
def test_no_beginning_of_an_accepted_head_is_refused(data: bytes, cut: int) -> None:
    if accepted(data) is not None:
        check_partial(data[: min(cut, len(data) - 4)], LIMITS)
