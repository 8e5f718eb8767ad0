"""Codings of bodies, and compressed answers over real sockets."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.snapshot import Coding
from proxy.edge.compression import CODERS, Body, whole


def _unzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    return stream.decompress(data) + stream.flush()


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=False).read()


DECODE: dict[Coding, Callable[[bytes], bytes]] = {"gzip": _unzip, "br": brotli.decompress, "zstd": _unzstd}
CODINGS: list[Coding] = list(CODERS)


@pytest.mark.parametrize("coding", CODINGS)
@given(st.lists(st.binary(max_size=2000), max_size=8), st.booleans())
def test_what_is_decoded_is_what_was_given(coding: Coding, pieces: list[bytes], flush: bool) -> None:
    body = Body(coding, flush)
    coded = b"".join(body.feed(piece, False) for piece in pieces) + body.feed(b"", True)
    assert DECODE[coding](coded) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
@given(st.binary(max_size=5000))
def test_a_body_that_is_there_at_once_decodes_to_itself(coding: Coding, data: bytes) -> None:
    assert DECODE[coding](whole(coding, data)) == data


@pytest.mark.parametrize("coding", CODINGS)
def test_a_flushed_piece_can_be_read_before_the_next_is_there(coding: Coding) -> None:
    body = Body(coding, flush=True)
    piece = b'{"n": 1}' * 100
    coded = body.feed(piece, False)
    if coding == "gzip":
        seen = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(coded)
    elif coding == "br":
        seen = brotli.Decompressor().process(coded)
    else:
        seen = zstandard.ZstdDecompressor().decompressobj().decompress(coded)
    assert seen == piece


@pytest.mark.parametrize("coding", CODINGS)
def test_large_bodies_of_known_length_shrink(coding: Coding) -> None:
    body = Body(coding, flush=False)
    piece = b'{"account": "acc_1", "amount": "12.34"},' * 1000
    coded = b"".join(body.feed(piece, False) for _ in range(20)) + body.feed(b"", True)
    assert len(coded) < len(piece)
    assert DECODE[coding](coded) == piece * 20
