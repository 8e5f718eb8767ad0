"""Codings of bodies, and compressed answers over real sockets."""

from __future__ import annotations

import contextlib
import io
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.settings import Coding
from proxy.edge.exchange.compression import CODERS, EncodedBody, whole
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Wire, answering, ok


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
    body = EncodedBody(coding, flush)
    coded = b"".join(body.feed(piece, False) for piece in pieces) + body.feed(b"", True)
    assert DECODE[coding](coded) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
@given(st.binary(max_size=5000))
def test_a_body_that_is_there_at_once_decodes_to_itself(coding: Coding, data: bytes) -> None:
    assert DECODE[coding](whole(coding, data)) == data


@pytest.mark.parametrize("coding", CODINGS)
def test_a_flushed_piece_can_be_read_before_the_next_is_there(coding: Coding) -> None:
    body = EncodedBody(coding, flush=True)
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
    body = EncodedBody(coding, flush=False)
    piece = b'{"account": "acc_1", "amount": "12.34"},' * 1000
    coded = b"".join(body.feed(piece, False) for _ in range(20)) + body.feed(b"", True)
    assert len(coded) < len(piece)
    assert DECODE[coding](coded) == piece * 20


# over sockets

DOCUMENT = b'{"account": "acc_1", "amount": "12.34"}' * 100
JSON = b"Content-Type: application/json\r\n"
ON = "GET /a: {weight: 0, compression: on}\nPOST /w: {weight: 0, compression: on}"


def asking(accepted: str, more: str = "", version: str = "1.1", method: str = "GET") -> bytes:
    line = f"Accept-Encoding: {accepted}\r\n" if accepted else ""
    return f"{method} /a HTTP/{version}\r\nHost: h\r\n{line}{more}\r\n".encode()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_gets_the_coding_it_asks_for(stage: Stage, coding: Coding) -> None:
    upstream = stage.upstream(answering(ok(DOCUMENT, JSON + b'ETag: "v1"\r\n')))
    answer = stage.edge(upstream.url, endpoints=ON).ask(asking(coding))
    assert answer.header("content-encoding") == coding
    assert answer.headers("content-length") == [str(len(answer.body))]
    assert answer.headers("vary") == ["Accept-Encoding"]
    assert answer.header("etag") == 'W/"v1"'
    assert DECODE[coding](answer.body) == DOCUMENT


def test_a_client_that_asks_for_none_gets_the_bytes_as_they_are(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok(DOCUMENT, JSON)))
    answer = stage.edge(upstream.url, endpoints=ON).ask(asking(""))
    assert answer.body == DOCUMENT
    assert answer.header("content-encoding") is None
    assert answer.headers("vary") == ["Accept-Encoding"]


def test_endpoints_that_do_not_ask_for_it_are_left_alone(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok(DOCUMENT, JSON)))
    answer = stage.edge(upstream.url).ask(asking("gzip"))
    assert answer.body == DOCUMENT
    assert answer.header("vary") is None


def test_what_the_backend_compressed_is_not_compressed_again(stage: Stage) -> None:
    coded = zlib.compress(DOCUMENT, wbits=31)
    upstream = stage.upstream(answering(ok(coded, JSON + b"Content-Encoding: gzip\r\n")))
    answer = stage.edge(upstream.url, endpoints=ON).ask(asking("br, gzip"))
    assert answer.body == coded
    assert answer.headers("content-encoding") == ["gzip"]


def test_each_chunk_of_a_stream_reaches_the_client_before_the_next_is_sent(stage: Stage) -> None:
    seen = threading.Event()

    def serve(wire: Wire, _: int) -> None:
        with contextlib.suppress(EOFError):
            wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" % JSON)
            assert seen.wait(WAIT)
            wire.send(b"6\r\nsecond\r\n0\r\n\r\n")
            wire.read_all()

    edge = stage.edge(stage.upstream(serve).url, endpoints=ON)
    with contextlib.closing(edge.connect()) as client:
        client.send(asking("gzip"))
        head = client.read_until(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        size = int(client.read_until(b"\r\n"), 16)
        assert stream.decompress(client.read_exactly(size)) == b"first"
        client.read_exactly(2)
        seen.set()
        rest = b""
        while size := int(client.read_until(b"\r\n"), 16):
            rest += stream.decompress(client.read_exactly(size))
            client.read_exactly(2)
        assert rest + stream.flush() == b"second"


def test_a_large_answer_of_known_length_is_compressed_as_it_passes(stage: Stage) -> None:
    large = DOCUMENT * 500
    upstream = stage.upstream(answering(ok(large, JSON)))
    answer = stage.edge(upstream.url, endpoints=ON).ask(asking("zstd"))
    assert answer.header("transfer-encoding") == "chunked"
    assert len(answer.body) < len(large) / 20
    assert DECODE["zstd"](answer.body) == large


def test_an_old_client_reads_until_the_connection_ends(stage: Stage) -> None:
    upstream = stage.upstream(answering(ok(DOCUMENT * 500, JSON)))
    answer = stage.edge(upstream.url, endpoints=ON).ask(asking("gzip", version="1.0"))
    assert answer.header("transfer-encoding") is None
    assert DECODE["gzip"](answer.body) == DOCUMENT * 500


def test_head_describes_what_get_sends(stage: Stage) -> None:
    def serve(wire: Wire, _: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                body = b"" if wire.request().startswith(b"HEAD") else DOCUMENT
                wire.send(
                    b'HTTP/1.1 200 OK\r\n%bETag: "v1"\r\nContent-Length: %d\r\n\r\n%b'
                    % (JSON, len(DOCUMENT), body)
                )

    edge = stage.edge(stage.upstream(serve).url, endpoints=ON)
    get, head = edge.ask(asking("gzip")), edge.ask(asking("gzip", method="HEAD"))
    for name in ("content-encoding", "etag", "vary", "content-type"):
        assert head.headers(name) == get.headers(name) != []
    assert head.header("content-length") is None  # only coding the body would tell it
    assert edge.ask(asking("", method="HEAD")).header("content-length") == str(len(DOCUMENT))


def test_a_head_of_unknown_length_ends_where_it_ends(stage: Stage) -> None:
    upstream = stage.upstream(answering(b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % JSON))
    edge = stage.edge(upstream.url, endpoints=ON)
    with contextlib.closing(edge.connect()) as client:
        for _ in range(2):  # a byte of a body would be taken for the beginning of the second answer
            client.send(asking("gzip", method="HEAD"))
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_a_304_repeats_the_weak_validator(stage: Stage) -> None:
    upstream = stage.upstream(answering(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'))
    edge = stage.edge(upstream.url, endpoints=ON)
    answer = edge.ask(asking("gzip", 'If-None-Match: W/"v1"\r\n'))
    assert (answer.status, answer.header("etag")) == (304, 'W/"v1"')


def test_a_body_cut_off_by_the_backend_is_not_made_whole(stage: Stage) -> None:
    def serve(wire: Wire, _: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: 100000\r\n\r\n" % JSON + DOCUMENT)

    edge = stage.edge(stage.upstream(serve).url, endpoints=ON)
    with contextlib.closing(edge.connect()) as client:
        client.send(asking("gzip"))
        with contextlib.suppress(ConnectionResetError):
            assert not client.read_all().endswith(b"0\r\n\r\n")


def test_a_keyed_write_is_stored_plain_and_answered_compressed(stage: Stage, tmp_path: Path) -> None:
    upstream = stage.upstream(answering(ok(DOCUMENT, JSON)))
    edge = stage.edge(upstream.url, endpoints=ON, rest=f"server: {{state: 'sqlite:///{tmp_path}/s.db'}}")
    write = (
        b"POST /w HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nAccept-Encoding: %b\r\n"
        b"Content-Length: 1\r\n\r\n1"
    )
    first = edge.ask(write % b"gzip")
    assert first.header("content-encoding") == "gzip"
    assert DECODE["gzip"](first.body) == DOCUMENT
    again = edge.ask(write % b"identity")
    assert again.header("idempotent-replayed") == "true"
    assert again.body == DOCUMENT
