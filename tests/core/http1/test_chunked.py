from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.http1.chunked import MAX_LINE, MAX_TRAILERS, ChunkedDecoder, encode_chunk, encode_end
from proxy.core.http1.grammar import Malformed

Result = tuple[str, bytes, bytes, list[tuple[bytes, bytes]]]


def decode(pieces: list[bytes]) -> Result:
    """State, payload, rest and trailers after all pieces; what follows the end is not fed."""
    decoder = ChunkedDecoder()
    payload = b""
    for index, piece in enumerate(pieces):
        try:
            payload += decoder.feed(piece)
        except Malformed:
            return "malformed", b"", b"", []
        if decoder.done:
            rest = decoder.rest + b"".join(pieces[index + 1 :])
            return "done", payload, rest, decoder.trailers
    return "unfinished", payload, b"", []


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@pytest.mark.parametrize(
    ("data", "payload", "rest"),
    [
        pytest.param(b"0\r\n\r\n", b"", b"", id="empty"),
        pytest.param(b"3\r\nabc\r\n0\r\n\r\nnext", b"abc", b"next", id="one chunk and a rest"),
        pytest.param(
            b"1\r\na\r\n00A\r\n0123456789\r\n0000\r\n\r\n", b"a0123456789", b"", id="zeros in front"
        ),
        pytest.param(b'1;a=b;c="d e"\r\na\r\n0;x\r\n\r\n', b"a", b"", id="extensions"),
        pytest.param(b"1 \t;a\r\na\r\n0\r\n\r\n", b"a", b"", id="blank before an extension"),
        pytest.param(b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", b"", id="line ends as payload"),
    ],
)
def test_bodies_are_decoded(data: bytes, payload: bytes, rest: bytes) -> None:
    assert decode([data]) == ("done", payload, rest, [])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"g\r\n", id="no hexadecimal digit"),
        pytest.param(b" 1\r\n", id="blank in front"),
        pytest.param(b"1 \r\na", id="blank behind"),
        pytest.param(b"0x1\r\n", id="0x"),
        pytest.param(b"+1\r\n", id="sign"),
        pytest.param(b"1_0\r\n", id="underscore"),
        pytest.param(b"1" * 16 + b"\r\n", id="over 15 digits"),
        pytest.param(b"1\na", id="LF alone"),
        pytest.param(b"1;a\x00\r\n", id="NUL in an extension"),
        pytest.param(b"1;\r \r\n", id="CR in an extension"),
        pytest.param(b"1\r\nab\r\n", id="too long"),
        pytest.param(b"1\r\na\n", id="chunk ends in LF"),
        pytest.param(b"0\r\nA b: c\r\n\r\n", id="trailer name"),
        pytest.param(b"0\r\n A: b\r\n\r\n", id="trailer fold"),
        pytest.param(b"1;" + b"a" * MAX_LINE, id="size line without an end"),
        pytest.param(b"0\r\nA: " + b"a" * MAX_TRAILERS, id="trailers without an end"),
    ],
)
def test_what_two_decoders_could_read_differently_is_malformed(data: bytes) -> None:
    assert decode([data])[0] == "malformed"
    assert decode([data[i : i + 1] for i in range(len(data))])[0] == "malformed"


def test_trailers_come_out_but_for_those_with_a_meaning_of_their_own() -> None:
    data = b"0\r\nX-Sum: 1 \r\nContent-Length: 5\r\nHOST: x\r\nSet-Cookie: y\r\nx-sum:2\r\n\r\n"
    assert decode([data])[3] == [(b"X-Sum", b"1"), (b"x-sum", b"2")]


chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
trailers = st.lists(
    st.tuples(st.sampled_from([b"A", b"x-sum"]), st.sampled_from([b"", b"1", b"a b"])), max_size=3
)
pieces = st.lists(st.integers(0, 12), max_size=40)


@given(chunks, trailers, pieces, st.binary(max_size=10))
def test_what_was_encoded_is_decoded_however_it_is_cut(
    body: list[bytes], fields: list[tuple[bytes, bytes]], sizes: list[int], rest: bytes
) -> None:
    data = b"".join(map(encode_chunk, body)) + encode_end(fields)
    assert decode(cut(data + rest, sizes)) == ("done", b"".join(body), rest, fields)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A body of well-formed chunks with up to two mistakes or oddities in it."""
    good = [b"1\r\na\r\n", b"00A;x=y\r\n0123456789\r\n", b"2 ;a\r\n\r\n\r\n", b"3\r\n0\r\n\r\n"]
    data = b"".join(draw(st.lists(st.sampled_from(good), max_size=4)))
    data += draw(st.sampled_from([b"0\r\n\r\n", b"000;e\r\nA: b\r\n\r\n", b"0\r\n\r\nrest", b""]))
    odd = [
        b"0",
        b"1",
        b"f",
        b"\r\n",
        b"\r",
        b"\n",
        b";",
        b" ",
        b"\t",
        b":",
        b"A: b\r\n",
        b"x",
        b"\x00",
        b"\xff",
    ]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(odd)) + data[at + draw(st.integers(0, 1)) :]
    return data


@given(st.one_of(streams(), st.binary(max_size=60)), pieces)
@example(b"1\r\na\r\n0\r\n\r\n", [1] * 20)
@example(b"0\r\n\r", [4, 1])
def test_any_way_of_splitting_any_bytes_gives_the_same_result(data: bytes, sizes: list[int]) -> None:
    assert decode(cut(data, sizes)) == decode([data])


@given(streams())
@example(b"3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n")
def test_oracle_h11_decodes_what_we_decode_to_the_same(data: bytes) -> None:
    state, payload, rest, _ = decode([data])
    if state != "done" or b" ;" in data or b"\t;" in data:
        return  # h11 does not know the blanks that RFC 9112 section 7.1.1 allows there
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    assert isinstance(connection.next_event(), h11.Request)
    received = b""
    while isinstance(event := connection.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == payload
    assert connection.trailing_data[0] == rest


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_oracle_h11_decodes_what_we_encode(body: list[bytes]) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.receive_data(b"".join(map(encode_chunk, body)) + encode_end([(b"A", b"b")]))
    assert isinstance(connection.next_event(), h11.Request)
    received = b""
    while isinstance(event := connection.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == b"".join(body)


def test_what_is_held_back_is_bounded() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"ffffff\r\n")
    for _ in range(100):
        assert len(decoder.feed(b"x" * 1000)) == 1000
    assert len(decoder._buffer) == 0
