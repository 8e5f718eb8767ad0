"""What reads foreign bytes by hand is linear as well: twice the bytes, at most twice the work."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from bench import configs
from bench.instructions import Sink
from proxy.config import load_text
from proxy.core.comparison.comparisons import fields_of
from proxy.core.comparison.differences import Answer, Body
from proxy.core.comparison.judge import judge
from proxy.core.documents.exactjson import parse
from proxy.core.documents.fieldpaths import parse_pattern, path_text
from proxy.core.forwarding.compression import negotiate
from proxy.core.forwarding.forwarded import client_address
from proxy.core.forwarding.hop_by_hop import Hop, request_block
from proxy.core.http1.body import hold
from proxy.core.http1.chunked import ChunkedDecoder
from proxy.core.http1.grammar import FieldBlock, Malformed, explain_fields
from proxy.core.http1.partial import PartialHead
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.http1.response import parse_response
from proxy.core.privacy.redact import Redactor, secrets_of
from proxy.core.resilience.identity import parse_key
from proxy.core.routing.keys import JwtClaim
from proxy.core.routing.paths import split
from proxy.core.settings import Limits
from proxy.core.traffic.ledger import shape
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.observe.access_log import masked
from proxy.edge.services import Services
from proxy.edge.upstream.connection import UpstreamConnection
from tests.linear import superlinear

WIDE: Final = Limits(header_bytes=10**9, headers=10**9, target_bytes=10**9)
NETWORK: Final = ipaddress.ip_network("10.0.0.0/8")
TODAY: Final = date(2026, 1, 1)


def request(lines: bytes) -> RequestHead:
    return parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", WIDE)


def blocked(lines: bytes) -> object:
    try:
        return request_block(request(lines), Hop(b"10.0.0.1", True), None)
    except Malformed:
        return None


def refused(work: Callable[[Any], object]) -> Callable[[Any], object]:
    def run(given: Any) -> object:
        try:
            return work(given)
        except Malformed:
            return None

    return run


def answer(body: bytes) -> Answer:
    return Answer(200, {"content-type": "application/json"}, Body.of(body))


def fed(data: bytes) -> bytes:
    decoder, payload = ChunkedDecoder(), b""
    for at in range(len(data)):
        payload += decoder.feed(data[at : at + 1])
    return payload


def held(data: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    for at in range(0, len(data), 2):
        hold(pieces, data[at : at + 2])
    return pieces


def head_by_byte(data: bytes) -> None:
    partial = PartialHead(data[:1])
    for at in range(1, len(data)):
        partial.add(data[at : at + 1], WIDE)


def nested(size: int) -> tuple[bytes, bytes]:
    """A long name, and below it many values that differ."""
    name, many = b"n" * (size // 2), size // 4
    return tuple(b'{"%b": [%b]}' % (name, b",".join([each] * many)) for each in (b"1", b"2"))  # type: ignore[return-value]


def judged(pair: tuple[bytes, bytes]) -> object:
    return judge(answer(pair[0]), answer(pair[1]), ["x"], (), TODAY)


def deep(size: int) -> tuple[str | int, ...]:
    return ("a",) * (size // 64)


PATTERN: Final = parse_pattern("**.a.**.a.**.x")

SCANS: Final[dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]]] = {
    "access log: marks without values": (lambda n: b"/x" + b"?" * (n // 2) + b"?key" * (n // 8), masked),
    "access log: names without values": (lambda n: b"/?" + b"key=&" * (n // 5), masked),
    "access log: one name in many parts": (lambda n: b"/?" + b"a=?" * (n // 3), masked),
    "redact: marks in a body": (lambda n: "=" + "?" * n, Redactor(b"k", []).text),
    "redact: digits in groups": (lambda n: "4111 " * (n // 5), Redactor(b"k", []).text),
    "redact: many queries": (lambda n: "?a=b" * (n // 4), Redactor(b"k", []).text),
    "redact: many credentials": (
        lambda n: (
            Redactor(b"k", [], secrets_of([("cookie", ";".join(f"{i:08}" for i in range(n // 9)))])),
            "0000000" * (n // 7),
        ),
        lambda given: given[0].text(given[1]),
    ),
    "redact: credentials of a request": (lambda n: [("cookie", "a=bcdefgh;" * (n // 10))], secrets_of),
    "Connection: many options": (
        lambda n: b"Connection: %b\r\n" % b",".join([b"%x" % i for i in range(n // 5)]),
        blocked,
    ),
    "Connection: many lines": (lambda n: b"Connection: a\r\n" * (n // 15), blocked),
    "Connection: of an answer": (
        lambda n: b"HTTP/1.1 200 OK\r\nConnection: a%b\r\n\r\n" % (b",b" * (n // 2)),
        refused(lambda head: parse_response(head, "GET")),
    ),
    "names with an underscore": (lambda n: b"".join(b"a_%x: b\r\n" % i for i in range(n // 10)), blocked),
    "X-Forwarded-For: many entries": (
        lambda n: b"X-Forwarded-For: %b\r\n" % (b"10.0.0.1," * (n // 9)),
        blocked,
    ),
    "X-Forwarded-For: many of ours": (
        lambda n: [b",".join([b"10.0.0.1"] * (n // 9))],
        lambda values: client_address("10.0.0.1", values, [NETWORK]),
    ),
    "Transfer-Encoding: a list": (
        lambda n: b"Transfer-Encoding: %b\r\n" % (b"a," * (n // 2)),
        blocked,
    ),
    "a block with many lines": (lambda n: b"a: b\r\n" * (n // 6), lambda raw: FieldBlock(raw).pairs()),
    "lines cut out of a block": (
        lambda n: b"a: b\r\nc: d\r\n" * (n // 12),
        lambda raw: FieldBlock(raw).without((b"a",)),
    ),
    "why a block is malformed": (lambda n: b"a: b\r\n" * (n // 6) + b"\x00\r\n", explain_fields),
    "Accept-Encoding": (lambda n: b"gzip;q=0.1," * (n // 11), lambda value: negotiate(value, ("gzip",))),
    "a key in quotes": (lambda n: [b'"' + b'\\"' * (n // 2)], refused(parse_key)),
    "a bare key": (lambda n: [b"a" * n], refused(parse_key)),
    "a token's claims": (
        lambda n: FieldBlock(b"Authorization: Bearer %b\r\n" % (b"." * n)),
        lambda fields: JwtClaim("sub").key(fields, (), ""),
    ),
    "a path of escapes": (lambda n: b"/" + b"%41" * (n // 3), split),
    "a path of segments": (lambda n: b"/a" * (n // 2), split),
    "the shape of a path": (lambda n: b"/" + b"a-" * (n // 2), lambda target: shape("GET", target)),
    "small chunks": (lambda n: b"1\r\na\r\n" * (n // 6), lambda data: ChunkedDecoder().feed(data)),
    "a chunk's extension, byte by byte": (lambda n: (b"1;" + b"a" * 4000 + b"\r\nb\r\n") * (n // 4007), fed),
    "small pieces of a body": (lambda n: b"a" * n, held),
    "a head, byte by byte": (lambda n: b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (n // 6), head_by_byte),
    "a request line, byte by byte": (lambda n: b"GET /" + b"a" * n, head_by_byte),
    "differences below a long name": (nested, judged),
    "the text of a path": (lambda n: ("a" * (n // 100),) * 100, path_text),
    "a path in a pattern": (deep, lambda steps: PATTERN.matches("", steps)),
    "fields below a long name": (lambda n: parse(nested(n)[0]), fields_of),
    "JSON that is nested": (lambda n: b"[" * (n // 2) + b"]" * (n // 2), lambda data: _refused_json(data)),
}


def _refused_json(data: bytes) -> None:
    try:
        parse(data)
    except ValueError:
        return
    assert len(data) < 1000


@pytest.mark.parametrize("name", SCANS)
def test_twice_the_bytes_are_twice_the_work(name: str) -> None:
    why = superlinear(*SCANS[name])
    assert not why, f"{name}: {why}"


def _services() -> Services:
    text = configs.routing(Path("/nowhere"), 1, 2, (9001, 9002), 1)
    return Services(uvloop.new_event_loop(), load_text(text, source="test", environ={}).snapshot)


def test_a_client_that_sends_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    services = _services()

    def run(data: bytes) -> None:
        client = ClientConnection(services, "127.0.0.1")
        client.connection_made(Sink())  # type: ignore[arg-type]
        for at in range(len(data)):
            client.data_received(data[at : at + 1])
        assert client.exchange is None
        assert client._buffer

    why = superlinear(lambda n: b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (n // 6 - 3), run, largest=32 * 1024)
    assert not why


def test_a_backend_that_answers_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    pool = _services().pools["legacy"]

    def run(data: bytes) -> None:
        upstream = UpstreamConnection(pool, pool.addresses[0])
        upstream.connection_made(Sink())  # type: ignore[arg-type]
        upstream.exchange = object()  # type: ignore[assignment]
        for at in range(len(data)):
            upstream.data_received(data[at : at + 1])
        assert not upstream.closed

    why = superlinear(lambda n: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (n // 6 - 3), run, largest=64 * 1024)
    assert not why
