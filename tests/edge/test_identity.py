"""Who asks, and what decides, over real sockets: nobody gets another caller's answer, and no client's
Connection header takes away what the proxy acted on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.conftest import Stage
from tests.edge.exchange.test_keyed_write import Bench, closing, problem
from tests.edge.harness import Wire, eventually, ok

ALICE = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nSet-Cookie: session=alice\r\n\r\nalice"


@pytest.fixture
def bench(stage: Stage, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(stage, tmp_path)
    with closing(bench):
        yield bench


def answering_each(wire: Wire, number: int) -> None:
    with contextlib.suppress(EOFError):
        while True:
            wire.request()
            wire.send(ALICE)


CALLERS = [
    ("Cookie: session=alice\r\n", "Cookie: session=mallory\r\n"),
    ("Cookie: session=alice\r\n", ""),
    ("X-Api-Key: alice\r\n", "X-Api-Key: mallory\r\n"),
    ("X-User-Id: alice\r\n", "X-User-Id: mallory\r\n"),
    ("", "X-User-Id: mallory\r\n"),
    ("Authorization: Bearer a\r\nCookie: s=alice\r\n", "Authorization: Bearer a\r\nCookie: s=mallory\r\n"),
    ("Authorization: Bearer a\r\nX-Api-Key: a\r\n", "Authorization: Bearer a\r\nX-Api-Key: m\r\n"),
]


@pytest.mark.parametrize(("alice", "mallory"), CALLERS)
def test_another_caller_is_refused_and_never_gets_the_answer(bench: Bench, alice: str, mallory: str) -> None:
    bench.start(answering_each)
    assert bench.post(headers=alice).body == b"alice"
    foreign = bench.post(headers=mallory)
    assert (foreign.status, problem(foreign)["type"]) == (422, "urn:strangler:idempotency_mismatch")
    assert foreign.header("set-cookie") is None
    own = bench.post(headers=alice)
    assert (own.status, own.header("idempotent-replayed")) == (201, "true")
    assert len(bench.legacy.requests) == 1


@pytest.mark.parametrize(
    ("other", "status"), [("A", 201), ("a:80", 201), ("b", 422), ("a:8080", 422), ("a.b", 422)]
)
def test_another_host_is_another_request(bench: Bench, other: str, status: int) -> None:
    bench.start(answering_each)
    bench.post()
    asked = b"POST /x HTTP/1.1\r\nHost: %b\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\npay"
    assert bench.edge.ask(asked % other.encode()).status == status
    absolute = asked.replace(b"POST /x", b"POST http://%b/x" % other.encode()) % b"a"
    assert bench.edge.ask(absolute).status == status
    assert len(bench.legacy.requests) == 1


@pytest.mark.parametrize("spelling", ["bearer t", "BEARER t", "Bearer   t", "bearer \t t"])
def test_a_scheme_is_the_same_however_it_is_spelled(bench: Bench, spelling: str) -> None:
    bench.start(answering_each)
    for value in (spelling, "Bearer t", spelling):
        assert bench.post(headers=f"Authorization: {value}\r\n").status == 201
    assert len(bench.legacy.requests) == 1


def test_two_credentials_are_refused_with_a_key_and_only_then(bench: Bench) -> None:
    bench.start(answering_each)
    twice = "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n"
    refused = bench.post(headers=twice)
    assert (refused.status, problem(refused)["type"]) == (400, "urn:strangler:idempotency_principal_invalid")
    assert bench.counted("principal_invalid") == 1
    assert bench.legacy.requests == []
    assert bench.post(key="", headers=twice).status == 201


def test_a_session_cookie_that_is_the_principal_outlives_other_cookies(bench: Bench) -> None:
    bench.start(answering_each, rest="idempotency: {principal: [cookie:sid, credential]}")
    first = bench.post(headers="Cookie: sid=1; _ga=one\r\n")
    again = bench.post(headers="Cookie: _ga=two; sid=1\r\n")
    assert (first.status, again.status, again.header("idempotent-replayed")) == (201, 201, "true")
    assert bench.post(headers="Cookie: sid=2; _ga=one\r\n").header("idempotent-replayed") is None
    assert len(bench.legacy.requests) == 2


def test_connection_does_not_strip_the_key_from_what_the_owner_gets(bench: Bench) -> None:
    bench.start(backend="idempotent: true")
    bench.post(headers="Connection: idempotency-key, keep-alive\r\n")
    assert b"\r\nIdempotency-Key: k\r\n" in bench.legacy.requests[0]


DECIDING = ["X-Who", "X-Pay-Key", "X-Tenant", "Cookie", "Authorization", "X-Request-Id", "Traceparent",
            "If-Match", "Content-Encoding", "X-Api-Key"]  # fmt: skip


@pytest.mark.parametrize("name", DECIDING)
def test_connection_does_not_strip_what_decides(bench: Bench, name: str) -> None:
    bench.start(
        endpoint=", sticky: [header:X-Who]",
        rest="idempotency: {header: X-Pay-Key, principal: [header:X-Tenant]}",
    )
    bench.edge.ask(
        f"POST /x HTTP/1.1\r\nHost: a\r\n{name}: one\r\nMine: 1\r\n"
        f"Connection: {name}, mine\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert f"\r\n{name}: one\r\n".encode() in bench.legacy.requests[0]
    assert b"\r\nMine" not in bench.legacy.requests[0]


def test_a_new_configuration_protects_its_fields_on_connections_that_are_open(bench: Bench) -> None:
    bench.start()
    asked = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Tenant: t\r\nConnection: x-tenant\r\n\r\n"
    with contextlib.closing(bench.edge.connect()) as client:
        client.send(asked)
        client.response()
        bench._given["rest"] = "idempotency: {principal: header:x-tenant}"
        bench.set_weight(0)
        client.send(asked)
        client.response()
    assert [b"X-Tenant" in each for each in bench.legacy.requests] == [False, True]


def test_trailers_do_not_carry_what_decides(stage: Stage) -> None:
    seen: list[bytes] = []

    def serve(wire: Wire, number: int) -> None:
        seen.append(wire.read_until(b"\r\n\r\n"))
        seen.append(wire.read_until(b"0\r\n") + wire.read_until(b"\r\n\r\n"))
        wire.send(ok())

    edge = stage.edge(
        stage.upstream(serve).url,
        endpoints="POST /w: {weight: 0, sticky: [header:x-who]}",
        rest="idempotency: {header: x-pay-key, principal: header:x-tenant}",
    )
    with contextlib.closing(edge.connect()) as client:
        chunk = b"14000\r\n" + b"x" * 0x14000 + b"\r\n"
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        eventually(lambda: bool(seen))
        names = ("X-Who", "X-Pay-Key", "X-Tenant", "X-Api-Key", "Traceparent", "If-Match", "X-Sum")
        client.send(b"0\r\n" + b"".join(b"%b: 1\r\n" % name.encode() for name in names) + b"\r\n")
        assert client.response().status == 200
    assert seen[1] == chunk + b"0\r\nX-Sum: 1\r\n\r\n"
