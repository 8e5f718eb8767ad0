"""Decodes the content-codings of an answer: completely or not at all, in small pieces.

A body with a missing trailer, bytes after its end, or an unknown coding has no content to compare, although
most decoders would return the part that they understood.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import brotli
import zstandard

from proxy.core.comparison.differences import Body

MAX_DECODED: Final = 256 * 1024 * 1024  # bytes of one body
MAX_CODINGS: Final = 4  # of one body, nested
PIECE: Final = 64 * 1024  # bytes decoded at once, about

_SLICE: Final = 32  # coded bytes at once: with zstd, there is no bound on what they decode to
_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659: the largest window that a zstd content-coding may require
_GZIP: Final = 16 + zlib.MAX_WBITS


class Undecodable(Exception):
    """Why a body cannot be decoded whole; the message goes after the name of a side."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


class _Deflated:
    """gzip (RFC 1952), of any number of members, or `deflate`."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._head = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream is None:
                data = self._head + data
                if len(data) < 2:
                    self._head = data
                    return
                self._head = b""
                self._stream = self._open(data)
            yield from self._inflate(self._stream, data)
            data = self._stream.unused_data
            if self._stream.eof:
                self._stream = None

    def finish(self) -> None:
        if self._stream is not None or self._head:
            raise Undecodable(f"{self._coding} is not whole")

    def _open(self, data: bytes) -> zlib._Decompress:
        first, self._begun = not self._begun, True
        if self._coding == "gzip":
            if not first and not data.startswith(b"\x1f\x8b"):
                raise Undecodable("there is more behind the end of gzip")
            return zlib.decompressobj(_GZIP)
        if not first:
            raise Undecodable("there is more behind the end of deflate")
        # RFC 9110 section 8.4.1.2: some send it without the zlib format around it
        wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def _inflate(self, stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                yield stream.decompress(data, PIECE)
                data = stream.unconsumed_tail
            while not stream.eof and (more := stream.decompress(b"", PIECE)):
                yield more
        except zlib.error:
            raise Undecodable(f"it is not {self._coding}") from None


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield self._stream.process(data, output_buffer_limit=PIECE)
            while not self._stream.can_accept_more_data():
                yield self._stream.process(b"", output_buffer_limit=PIECE)
        except brotli.error:
            raise Undecodable("it is not br, or there is more behind its end") from None

    def finish(self) -> None:
        if not self._stream.is_finished():
            raise Undecodable("br is not whole")


class _Zstd:
    """Any number of frames (RFC 8878), also those to be skipped."""

    def __init__(self) -> None:
        self._frames = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE):
            yield from self._slice(data[start : start + _SLICE])

    def _slice(self, data: bytes) -> Iterator[bytes]:
        while data:
            frame = self._frame = self._frame or self._frames.decompressobj()
            try:
                yield frame.decompress(data)
            except zstandard.ZstdError:
                raise Undecodable("it is not zstd, or there is more behind its end") from None
            data = frame.unused_data if frame.eof else b""
            if frame.eof:
                self._frame = None

    def finish(self) -> None:
        if self._frame is not None:
            raise Undecodable("zstd is not whole")


_DECODERS: Final[dict[str, Callable[[], _Decoder]]] = {
    "gzip": lambda: _Deflated("gzip"),
    "x-gzip": lambda: _Deflated("gzip"),  # RFC 9110 section 8.4.1.3
    "deflate": lambda: _Deflated("deflate"),
    "br": _Brotli,
    "zstd": _Zstd,
}


class BodyDecoder:
    """One body as it comes in; what is over `keep` bytes is hashed and not kept."""

    def __init__(self, content_encoding: str, keep: int) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        names = [name for name in names if name not in ("", "identity")]
        self._keep = keep
        self._raw, self._raw_size = hashlib.sha256(), 0
        self._plain, self._size, self._kept = hashlib.sha256(), 0, bytearray()
        self._problem = ""
        self._decoders: list[_Decoder] = []
        if len(names) > MAX_CODINGS or any(name not in _DECODERS for name in names):
            self._problem = "it has a coding that is not known"
        else:
            self._decoders = [_DECODERS[name]() for name in reversed(names)]

    def feed(self, data: bytes) -> None:
        if not data:
            return
        self._raw_size += len(data)
        self._raw.update(data)
        if self._problem:
            return
        try:
            for piece in self._decoded(data, 0):
                self._add(piece)
        except Undecodable as why:
            self._fail(str(why))

    def finish(self) -> Body:
        if self._raw_size and not self._problem:  # an empty body is empty in every coding
            try:
                for decoder in self._decoders:
                    decoder.finish()
            except Undecodable as why:
                self._fail(str(why))
        if self._problem:
            return Body(None, self._raw_size, self._raw.hexdigest(), self._problem)
        kept = bytes(self._kept) if self._size <= self._keep else None
        return Body(kept, self._size, self._plain.hexdigest())

    def _decoded(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._decoders):
            yield data
            return
        for piece in self._decoders[depth].feed(data):
            if piece:
                yield from self._decoded(piece, depth + 1)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_DECODED:
            raise Undecodable(f"it decodes to over {MAX_DECODED} bytes")
        self._plain.update(piece)
        if self._size <= self._keep:
            self._kept += piece

    def _fail(self, why: str) -> None:
        self._problem = why
        self._decoders.clear()
        self._kept.clear()


def decoded(content_encoding: str, data: bytes) -> Body:
    """A body that is there at once, and kept whole."""
    reader = BodyDecoder(content_encoding, MAX_DECODED)
    reader.feed(data)
    return reader.finish()
