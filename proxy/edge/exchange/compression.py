"""Content-codings, applied to a body as it passes: constant memory, whatever its size.

Levels are chosen for answers made afresh for each request: most of the gain for little of the time. Windows
are small (512 KiB), so that a thousand streams at once fit in memory; every decoder of a browser takes them.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

import brotli
import zstandard

from proxy.core.forwarding.compression import (
    coded_head,
    coded_head_alone,
    not_modified_head,
    plan,
    varied_head,
)
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.settings import Coding, Compression

GZIP_LEVEL: Final = 5
BROTLI_QUALITY: Final = 4
ZSTD_LEVEL: Final = 3
WINDOW: Final = 19  # log2 of bytes, of brotli and zstd

_GZIP: Final = 16 + zlib.MAX_WBITS  # with a gzip header and trailer (RFC 1952)
_ZSTD: Final = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, window_log=WINDOW)


class Coder(Protocol):
    """One body. `flush`: everything given so far can be decoded from what was returned so far."""

    def encode(self, data: bytes, flush: bool) -> bytes: ...

    def finish(self) -> bytes: ...


class Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)

    def encode(self, data: bytes, flush: bool) -> bytes:
        coded = self._stream.compress(data)
        return coded + self._stream.flush(zlib.Z_SYNC_FLUSH) if flush else coded

    def finish(self) -> bytes:
        return self._stream.flush()


class Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=BROTLI_QUALITY, lgwin=WINDOW)

    def encode(self, data: bytes, flush: bool) -> bytes:
        coded: bytes = self._stream.process(data)
        return coded + self._stream.flush() if flush else coded

    def finish(self) -> bytes:
        coded: bytes = self._stream.finish()
        return coded


class Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(compression_params=_ZSTD).compressobj()

    def encode(self, data: bytes, flush: bool) -> bytes:
        coded = self._stream.compress(data)
        return coded + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) if flush else coded

    def finish(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


_zstd: Final = zstandard.ZstdCompressor(compression_params=_ZSTD)  # costs more to make than to use


def whole(coding: Coding, data: bytes) -> bytes:
    """A body that is there at once."""
    if coding == "zstd":
        return _zstd.compress(data)
    if coding == "br":
        coded: bytes = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=WINDOW)
        return coded
    return zlib.compress(data, GZIP_LEVEL, _GZIP)


CODERS: Final[dict[Coding, type[Coder]]] = {"gzip": Gzip, "br": Brotli, "zstd": Zstd}


class EncodedBody:
    """The rest of one body in its coding."""

    __slots__ = ("_coder", "_flush")

    def __init__(self, coding: Coding, flush: bool) -> None:
        self._coder = CODERS[coding]()
        self._flush = flush

    def feed(self, data: bytes, complete: bool) -> bytes:
        """The coded bytes to send now; maybe none."""
        coded = self._coder.encode(data, self._flush and not complete) if data else b""
        return coded + self._coder.finish() if complete else coded


def begin(
    settings: Compression, request: RequestHead, response: ResponseHead, data: bytes, complete: bool
) -> tuple[ResponseHead, bytes, EncodedBody | None]:
    """The head to relay, the first bytes of the body, and what codes the rest; None: it goes as it comes."""
    if response.status == 304:
        return varied_head(not_modified_head(request, response)), data, None
    size = len(data) if complete and request.method != "HEAD" else _declared(response)
    wanted = plan(settings, request, response, size)
    if wanted is None:
        return response, data, None
    response = varied_head(response)
    if wanted.coding is None:
        return response, data, None
    if request.method == "HEAD":
        return coded_head_alone(response, wanted.coding), data, None
    if complete:
        coded = whole(wanted.coding, data)
        return coded_head(response, wanted.coding, len(coded)), coded, None
    body = EncodedBody(wanted.coding, wanted.flush)
    return coded_head(response, wanted.coding, None), body.feed(data, False), body


def _declared(response: ResponseHead) -> int:
    """Content-Length, also of an answer to HEAD; -1 if there is none."""
    length = response.get(b"content-length")
    return -1 if length is None else int(length)
