from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.wire.framing import FrameReader, FrameTooLarge
from proxy.core.wire.messages import Applied, decode_from_worker, encode


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 7))
def test_bodies_come_out_as_sent_however_the_stream_is_cut(bodies: list[bytes], step: int) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    reader = FrameReader()
    got: list[bytes] = []
    for start in range(0, len(stream), step):
        got += reader.feed(stream[start : start + step])
    assert got == bodies


def test_an_encoded_message_survives_the_round_trip() -> None:
    (body,) = FrameReader().feed(encode(Applied("abc", 3)))
    assert decode_from_worker(body) == Applied("abc", 3)


def test_an_announced_size_over_the_limit_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(FrameTooLarge, match="11 bytes was announced; at most 10"):
        FrameReader(limit=10).feed((11).to_bytes(4, "big"))


def test_http_sent_to_the_channel_is_refused_as_too_large() -> None:
    with pytest.raises(FrameTooLarge):
        FrameReader().feed(b"GET / HTTP/1.1\r\n")
