"""The two readers of heads: what `scan` finds byte by byte, `patterns` finds with regular expressions."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.http1 import patterns, request, response, scan
from proxy.core.http1.grammar import FieldBlock, Malformed
from proxy.core.http1.known_fields import KnownFields

OPEN, CLOSED = request._WANTED, response._WANTED
PIECES = (
    *(b"host", b"Host:", b"CONTENT-LENGTH:", b"x-forwarded-", b"X-Forwarded-For", b"x_y", b"x-backend"),
    *(b"upgrade: ", b"te:", b"Via", b"a", b"-", b"_", b":", b": ", b" ", b"\t", b"x-served-by: legacy"),
    *(b"\r\n", b"\r\n", b"\r", b"\n", b"\x00", b"\x7f", b"\x80", b"\xff", b"1", b"a" * 40, b"x" * 31, b"("),
)
blocks = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
lines = st.tuples(
    st.sampled_from([b"host", b"X-Request-ID", b"te", b"X_A", b"_", b"x-forwarded-x", b"x-a", b"a" * 33]),
    st.text("\t !az:_\xe9\xff", max_size=8).map(lambda text: text.encode("latin-1")),
)
well_formed = st.lists(lines, max_size=6).map(lambda pairs: b"".join(b"%b:%b\r\n" % pair for pair in pairs))


@pytest.mark.parametrize("wanted", [OPEN, CLOSED, KnownFields(())])
@given(block=blocks | well_formed)
def test_both_find_the_same_fields_of_a_block(wanted: KnownFields, block: bytes) -> None:
    lowered = b"\n" + block.lower()
    found, matched, count = scan.fields(block, lowered, wanted)
    expected, expected_matched, expected_count = patterns.fields(block, lowered, wanted)
    assert count == expected_count
    if count >= 0:
        assert (list(found.items()), matched) == (list(expected.items()), expected_matched)


@given(block=well_formed, name=st.sampled_from([b"host", b"x-a", b"x_a", b"_", b"te", b"a" * 33, b"hos"]))
def test_both_find_the_same_value(block: bytes, name: bytes) -> None:
    lowered = b"\n" + block.lower()
    start, end = scan.value(lowered, name)
    expected = patterns.value(lowered, name)
    assert (start, end) == expected
    assert FieldBlock(block).get(name) == (None if start < 0 else block[start:end])


@given(
    st.lists(
        st.sampled_from(
            (
                *(b"GET", b" ", b"/", b"/a?b", b"#", b'"', b" HTTP/1.1", b" HTTP/1.0\r\n", b"HTTP/1.", b"1"),
                *(b"2", b"\r\n", b"\r", b"\n", b"\x00", b"\xff", b"*", b"\t"),
            )
        ),
        max_size=9,
    ).map(b"".join)
)
@example(b"GET / HTTP/1.1\r\n")
@example(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
@example(b"GET / HTTP/1.1\r")
@example(b"GET  HTTP/1.1\r\n")
def test_both_read_the_same_request_line(head: bytes) -> None:
    assert scan.request_line(head) == patterns.request_line(head)


@given(
    st.lists(st.sampled_from([b"/", b"a", b".", b"..", b"%41", b"?", b"#", b"*", b"\n", b"@", b"\xff"])).map(
        b"".join
    )
)
@example(b"/")
@example(b"/a/?x")
@example(b"/a\n")
def test_both_find_the_same_plain_paths(target: bytes) -> None:
    assert scan.plain_path(target) == patterns.plain_path(target)


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_is_accepted_at_the_same_places(byte: int) -> None:
    each = bytes([byte])
    for block in (each + b":a\r\n", b"a" + each + b":\r\n", b"a:" + each + b"\r\n", b"a:b\r\n" + each):
        lowered = b"\n" + block.lower()
        assert scan.fields(block, lowered, OPEN)[2] == patterns.fields(block, lowered, OPEN)[2]
    for head in (b"G" + each + b" /a HTTP/1.1\r\n", b"GET /" + each + b" HTTP/1.1\r\n"):
        assert scan.request_line(head) == patterns.request_line(head)
    for head in (b"HTTP/1.1 200 a" + each + b"\r\n", b"HTTP/1.1 200" + each + b"\r\n"):
        assert scan.status_line(head) == patterns.status_line(head)
    for host in (each, b"h" + each, b"h:8" + each):
        assert scan.is_host(host) == patterns.is_host(host)
    for target in (b"/" + each, b"/a" + each):
        assert scan.plain_path(target) == patterns.plain_path(target)


def test_a_field_is_wanted_by_its_name_its_beginning_or_an_underscore() -> None:
    names = [b"via", b"x-forwarded-", b"x-forwarded-for", b"a_b", b"viax", b"x-forwarded", b"a"]
    block = b"".join(b"%b: 1\r\n" % name for name in names)
    for wanted, expected in ((OPEN, names[:4]), (CLOSED, [])):
        found, matched, count = scan.fields(block, b"\n" + block, wanted)
        assert (list(found), matched, count) == (expected, len(expected), len(names))


@given(block=well_formed, names=st.lists(st.sampled_from([b"host", b"x-a", b"x_a", b"_", b"te", b"hos"])))
def test_both_cut_out_the_same_lines(block: bytes, names: list[bytes]) -> None:
    lowered = b"\n" + block.lower()
    assert scan.without(block, lowered, tuple(names)) == patterns.without(block, lowered, tuple({*names}))


@given(
    st.lists(
        st.sampled_from(
            (
                *(b"HTTP/1.1 200", b"HTTP/1.", b"0", b"1", b"2", b" ", b"HTTP/1.0 404 Not Found", b"\r\n"),
                *(b"\r", b"\n", b"\x00", b"\xff", b"\t", b"OK", b"099", b"HTTP/1.1 999 "),
            )
        ),
        max_size=6,
    ).map(b"".join)
)
@example(b"HTTP/1.1 200 OK\r\n\r\n")
@example(b"HTTP/1.1 200\r\n\r\n")
@example(b"HTTP/1.1 200 \r\n")
def test_both_read_the_same_status_line(head: bytes) -> None:
    assert scan.status_line(head) == patterns.status_line(head)


@given(st.text("0159 \t+-x", max_size=20).map(str.encode))
@example(b"1" * 18)
@example(b"1" * 19)
def test_both_read_the_same_number(value: bytes) -> None:
    assert scan.number(value) == patterns.number(value)


@given(st.text("az09-._:[]%@/ \xe9", max_size=9).map(lambda text: text.encode("latin-1")))
@example(b"[::1]:80")
@example(b"h:123456")
@example(b"h:")
def test_both_accept_the_same_hosts(host: bytes) -> None:
    assert scan.is_host(host) == patterns.is_host(host)


def test_a_malformed_block_has_no_meaning() -> None:
    with pytest.raises(Malformed):
        FieldBlock(b"Host: h\r\nbad\r\n")
