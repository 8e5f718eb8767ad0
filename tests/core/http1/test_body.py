from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.body import BodyReader
from proxy.core.http1.chunked import LAST_CHUNK, encode_chunk
from proxy.core.http1.grammar import Malformed


def read(reader: BodyReader, data: bytes, cuts: list[int]) -> bytes:
    """Feeds `data` in the pieces that `cuts` make of it; stops at the end of the body."""
    body = b""
    position = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        if reader.done:
            break
        body += reader.feed(data[position:cut])
        position = max(position, cut)
    return body


@given(body=st.binary(min_size=1), behind=st.binary(), cuts=st.lists(st.integers(0, 10_000)))
def test_a_body_with_a_length_ends_there_however_it_arrives(
    body: bytes, behind: bytes, cuts: list[int]
) -> None:
    reader = BodyReader(len(body), False, 0)
    assert read(reader, body + behind, cuts) == body
    assert reader.done
    assert behind.startswith(reader.rest)


@given(pieces=st.lists(st.binary(min_size=1)), cuts=st.lists(st.integers(0, 10_000)))
def test_a_chunked_body_is_decoded_however_it_comes(pieces: list[bytes], cuts: list[int]) -> None:
    reader = BodyReader(0, True, 0)
    data = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    assert read(reader, data, cuts) == b"".join(pieces)
    assert reader.done


def test_bytes_behind_the_body_are_kept_for_the_next_request() -> None:
    reader = BodyReader(3, False, 0)
    assert reader.feed(b"abcGET") == b"abc"
    assert (reader.done, reader.rest) == (True, b"GET")


def test_the_limit_counts_decoded_bytes() -> None:
    assert BodyReader(0, True, 10).feed(encode_chunk(b"x" * 10)) == b"x" * 10
    with pytest.raises(Malformed) as caught:
        BodyReader(0, True, 10).feed(encode_chunk(b"x" * 11))
    assert caught.value.status == 413


def test_trailers_are_kept_but_for_those_that_mean_something_to_a_proxy() -> None:
    reader = BodyReader(0, True, 0)
    fields = (
        b"X-Sum: 1\r\nX-Forwarded-Port: 1\r\nHost: h\r\nx_sum: 2\r\nAuthorization: b\r\nETag: e\r\n"
        b"If-Match: e\r\nVia: v\r\nX-Shadow: 1\r\nX-Backend: async\r\nX-Served-By: async\r\nCookie: a=b\r\n"
    )
    assert reader.feed(b"1\r\na\r\n0\r\n" + fields + b"\r\nGET") == b"a"
    assert (reader.trailers, reader.rest) == ([(b"X-Sum", b"1"), (b"ETag", b"e")], b"GET")
