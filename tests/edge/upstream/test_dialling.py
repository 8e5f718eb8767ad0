"""Names of upstreams that have several addresses, dead ones among them, or change them."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from proxy.edge.upstream import dialling, resolver
from proxy.edge.upstream.pool import Pool
from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Script, Wire, eventually, ok

pytestmark = pytest.mark.interpreted  # a name service is put in place of the real one

NAME = "app.example"
GOOD, BAD, OTHER = "127.0.0.1", "127.0.0.21", "127.0.0.22"
READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
BOTH = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of each name, to be changed by tests; looked up again all the time."""
    table = {NAME: [GOOD]}

    async def look_up(host: str) -> list[str]:
        if host not in table:
            raise OSError("no such host")
        return table[host]

    monkeypatch.setattr(resolver.Resolver.__init__, "__defaults__", (look_up,))
    monkeypatch.setattr(resolver, "TTL", 0.01)
    monkeypatch.setattr(dialling, "TTL", 0.01)
    return table


def named(upstream: Script) -> str:
    return upstream.url.replace("127.0.0.1", NAME)


def closing_after_each(wire: Wire, number: int) -> None:
    wire.request()
    wire.send(ok(b"good", b"Connection: close\r\n"))


@contextlib.contextmanager
def silent(port: int) -> Iterator[None]:
    """BAD does not answer those who connect: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((BAD, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((BAD, port))
        yield


def pool(edge: Edge) -> Pool:
    return edge.services.pools["legacy"]


def doubted(edge: Edge) -> set[str]:
    return {host for host, _ in edge.call(lambda: dict(pool(edge)._dialler._doubted))}


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_an_address_that_refuses_is_passed_over_also_for_writes(
    stage: Stage, names: dict[str, list[str]], request_: bytes
) -> None:
    upstream = stage.upstream(closing_after_each)
    names[NAME] = [BAD, GOOD]
    edge = stage.edge(named(upstream), endpoints=BOTH)
    assert [edge.ask(request_).body for _ in range(12)] == [b"good"] * 12
    assert len(upstream.requests) == 12


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_an_address_that_is_silent_is_passed_over_and_tried_last_from_then_on(
    stage: Stage, names: dict[str, list[str]], request_: bytes
) -> None:
    upstream = stage.upstream(closing_after_each)
    names[NAME] = [BAD, GOOD]
    edge = stage.edge(named(upstream), endpoints=BOTH, backend="timeouts: {connect: 2s}")
    with silent(upstream.port):
        answers = [edge.ask(request_).body]
        while doubted(edge) != {BAD} and len(answers) < 100:  # until the silent one has come first
            answers.append(edge.ask(request_).body)
        assert doubted(edge) == {BAD}
        for _ in range(4):
            answers.append(edge.ask(request_).body)
        assert set(answers) == {b"good"}
    assert len(upstream.requests) == len(answers)
    assert edge.call(lambda: pool(edge).connections) == 0


def test_all_addresses_are_tried_within_the_time_to_connect(
    stage: Stage, names: dict[str, list[str]]
) -> None:
    upstream = stage.upstream(closing_after_each)
    names[NAME] = [BAD, *(f"127.0.0.{n}" for n in range(30, 40)), GOOD]
    edge = stage.edge(named(upstream), endpoints=BOTH)
    with silent(upstream.port):
        assert edge.ask(WRITE).body == b"good"


def test_where_no_address_can_be_reached_the_request_fails_and_nothing_is_left(
    stage: Stage, names: dict[str, list[str]]
) -> None:
    upstream = stage.upstream(closing_after_each)
    names[NAME] = [BAD, OTHER]
    edge = stage.edge(named(upstream), endpoints=BOTH, backend="timeouts: {connect: 500ms}")
    assert edge.ask(WRITE).header("x-proxy-error") == "source=upstream; kind=connect_failed"
    with silent(upstream.port):
        assert edge.ask(WRITE).header("x-proxy-error") == "source=upstream; kind=connect_timeout"
    assert upstream.connections == 0
    assert edge.call(lambda: (pool(edge).connections, pool(edge).addresses[0].outstanding)) == (0, 0)
    assert edge.call(lambda: dict(edge.services.counters.unknown)) == {}


def closes(wire: Wire, number: int) -> None:
    pass


def hangs(wire: Wire, number: int) -> None:
    wire.read_all()


@pytest.mark.parametrize("impostor", [closes, hangs])
def test_an_address_that_connects_and_then_does_not_speak_tls_is_passed_over(
    stage: Stage,
    names: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    impostor: Callable[[Wire, int], None],
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    upstream = stage.upstream(closing_after_each, tls=context)
    other = stage.upstream(impostor, at=(BAD, upstream.port))
    names[NAME] = [BAD, GOOD]
    edge = stage.edge(named(upstream), endpoints=BOTH)
    for _ in range(20):
        assert edge.ask(WRITE).body == b"good"
    assert other.connections <= 1  # it is tried last from then on


def test_kept_connections_leave_an_address_that_the_name_no_longer_has(
    stage: Stage, names: dict[str, list[str]]
) -> None:
    old = stage.upstream(lambda wire, number: serve_all(wire, b"old"))
    edge = stage.edge(named(old), endpoints=BOTH, backend="timeouts: {pool_idle: 1h}")
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        assert client.response().body == b"old"
        with contextlib.closing(Script(lambda wire, number: serve_all(wire, b"new"), at=(OTHER, old.port))):
            names[NAME] = [OTHER]

            def answer() -> bytes:
                client.send(READ)
                return client.response().body

            eventually(lambda: answer() == b"new", "reads follow the name")
            assert answer() == b"new"
    assert old.connections == 1


def test_a_request_under_way_ends_where_it_began_when_the_name_moves(
    stage: Stage, names: dict[str, list[str]]
) -> None:
    wires: list[Wire] = []

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wires.append(wire)
        wire.read_all()

    old = stage.upstream(serve)
    edge = stage.edge(named(old), endpoints=BOTH)
    with contextlib.closing(edge.connect()) as client:
        client.send(WRITE)
        eventually(lambda: wires, "the write is there")
        names[NAME] = [OTHER]
        eventually(
            lambda: edge.call(lambda: pool(edge).addresses[0].hosts) == (OTHER,), "the change is known"
        )
        wires[0].send(ok(b"done"))
        assert client.response().body == b"done"
    eventually(lambda: edge.call(lambda: pool(edge).connections) == 0, "and its connection is not kept")


def test_connections_are_not_kept_for_longer_than_pool_age(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, backend="timeouts: {pool_idle: 1h, pool_age: 50ms}")
    assert edge.ask(READ).status == 200
    eventually(lambda: edge.call(lambda: pool(edge).connections) == 0, "an idle connection grows too old")
    with contextlib.closing(edge.connect()) as client:

        def connections() -> int:
            client.send(READ)
            assert client.response().status == 200
            return upstream.connections

        eventually(lambda: connections() > 2, "a busy one too")


def test_names_are_no_longer_looked_up_once_nothing_is_connected(
    stage: Stage, names: dict[str, list[str]]
) -> None:
    edge = stage.edge(named(stage.upstream(closing_after_each)), endpoints=BOTH)
    assert edge.ask(READ).body == b"good"
    eventually(lambda: not edge.call(lambda: pool(edge)._dialler._following), "nothing is followed")
    assert edge.ask(READ).body == b"good"


def serve_all(wire: Wire, body: bytes) -> None:
    with contextlib.suppress(EOFError):
        while True:
            wire.request()
            wire.send(ok(body))
