from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from proxy.compare import decoding
from proxy.compare.decoding import BodyDecoder, decoded
from proxy.core.comparison.differences import Body
from proxy.core.settings import Compression
from proxy.edge.exchange.compression import whole

TEXT = b'{"name": "\xc3\xa9", "items": [1, 2, 3]}' * 50


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


CODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "two members": ("gzip", gzip.compress(TEXT[:700]) + gzip.compress(TEXT[700:])),
    "x-gzip": ("X-GZip", gzip.compress(TEXT)),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate without zlib": ("deflate", raw_deflate(TEXT)),
    "br": ("br", brotli.compress(TEXT)),
    "zstd": ("zstd", zstd(TEXT)),
    "two frames": ("zstd", zstd(TEXT[:700]) + b"\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstd(TEXT[700:])),
    "one in the other": ("gzip, identity, br", brotli.compress(gzip.compress(TEXT))),
    "none": ("identity", TEXT),
}
PACKED = {name: coded for name, coded in CODED.items() if name != "none"}


def read(coding: str, data: bytes, step: int, keep: int = 10_000) -> Body:
    reader = BodyDecoder(coding, keep)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    return reader.finish()


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("name", CODED)
def test_all_codings_are_undone_however_the_bytes_come(name: str, step: int) -> None:
    assert read(*CODED[name], step) == Body.of(TEXT)


def test_what_the_proxy_itself_offers_is_among_them() -> None:
    for coding in Compression().codings:
        assert decoded(coding, whole(coding, TEXT)) == Body.of(TEXT)


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:-9], lambda b: b[:20], lambda b: b + b"junk!"]
)
@pytest.mark.parametrize("name", PACKED)
def test_what_is_not_whole_or_has_more_behind_it_has_no_content(
    name: str, damage: Callable[[bytes], bytes], step: int
) -> None:
    coding, data = PACKED[name]
    damaged = damage(data)
    found = read(coding, damaged, step)
    assert found.content is None
    assert found.problem
    assert (found.size, found.sha256) == (len(damaged), hashlib.sha256(damaged).hexdigest())


@pytest.mark.parametrize("coding", ["compress", "gzip, x-own", ", ".join(["gzip"] * 5)])
def test_a_coding_that_is_not_known_is_a_problem_of_its_own(coding: str) -> None:
    assert decoded(coding, b"x").problem == "it has a coding that is not known"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_nothing_is_nothing_in_every_coding_and_plain_text_is_in_none(coding: str) -> None:
    assert decoded(coding, b"") == Body.of(b"")
    assert decoded(coding, TEXT).problem


def test_what_is_over_the_limit_is_hashed_and_not_kept() -> None:
    found = read(*CODED["br"], 10_000, keep=len(TEXT) - 1)
    assert found == Body(None, len(TEXT), hashlib.sha256(TEXT).hexdigest())
    assert read(*CODED["br"], 10_000, keep=len(TEXT)).content == TEXT


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_takes_little_memory_and_ends(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_DECODED", 20_000_000)
    packers = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd}
    bomb = packers[coding](bytes(40_000_000))
    tracemalloc.start()
    found = read(coding, bomb, 65536, keep=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.problem == "it decodes to over 20000000 bytes"
    assert found.size == len(bomb)
    assert peak < 8_000_000
