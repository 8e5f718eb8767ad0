"""Connections to a backend: how many, which, and who waits."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from proxy.core.settings import BackendName
from proxy.edge.upstream.address import FAILURES
from proxy.edge.upstream.connection import UpstreamConnection
from proxy.edge.upstream.pool import WAITING, WRITE_REUSE, Pool
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok, snapshot
from tests.support.ports import dead_port

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
BOTH = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"


def pool(edge: Edge, backend: BackendName = "legacy") -> Pool:
    return edge.services.pools[backend]


def waiting(edge: Edge) -> int:
    return edge.call(lambda: len(pool(edge).waiting))


def balanced(edge: Edge) -> bool:
    """Nothing is in flight and every connection that is open is idle."""

    def look() -> bool:
        addresses = pool(edge).addresses
        idle = sum(len(address.idle) for address in addresses)
        return pool(edge).connections == idle and not any(address.outstanding for address in addresses)

    return edge.call(look)


class Gate:
    """An upstream that answers each request only when it is let through."""

    def __init__(self) -> None:
        self.open = threading.Semaphore(0)
        self.received = threading.Semaphore(0)

    def __call__(self, wire: Wire, number: int) -> None:
        while True:
            wire.request()
            self.received.release()
            if not self.open.acquire(timeout=WAIT):
                return
            wire.send(ok(b"%d" % number))


def test_no_more_connections_are_opened_than_configured_and_all_are_served(stage: Stage) -> None:
    gate = Gate()
    upstream = stage.upstream(gate)
    edge = stage.edge(upstream.url, backend="connections: 3")
    clients = [edge.connect() for _ in range(6)]
    for client in clients:
        client.send(READ)
    eventually(lambda: waiting(edge) == 3, "three wait")
    for _ in range(3):
        assert gate.received.acquire(timeout=WAIT)
    assert upstream.connections == 3
    for _ in clients:
        gate.open.release()
    for client in clients:
        assert client.response().status == 200
        client.close()
    assert upstream.connections == 3
    eventually(lambda: balanced(edge), "nothing outstanding")


def test_waiting_is_bounded_in_number_and_answered_503_with_retry_after(stage: Stage) -> None:
    gate = Gate()
    edge = stage.edge(stage.upstream(gate).url, backend="connections: 1")
    clients = [edge.connect() for _ in range(1 + WAITING)]
    clients[0].send(READ)
    assert gate.received.acquire(timeout=WAIT)
    for client in clients[1:]:
        client.send(READ)
    eventually(lambda: waiting(edge) == WAITING, "as many wait as may")
    response = edge.ask(READ)
    assert (response.status, response.header("retry-after")) == (503, "1")
    assert response.header("x-proxy-error") == "source=upstream; kind=no_connection"
    for _ in clients:
        gate.open.release()
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_waiting_is_bounded_in_time(stage: Stage) -> None:
    gate = Gate()
    edge = stage.edge(stage.upstream(gate).url, backend="connections: 1, timeouts: {connect: 100ms}")
    with contextlib.closing(edge.connect()) as first:
        first.send(READ)
        assert gate.received.acquire(timeout=WAIT)
        response = edge.ask(WRITE)
        assert (response.status, response.header("retry-after")) == (503, "1")
        assert waiting(edge) == 0
        gate.open.release()
        assert first.response().status == 200


def test_a_busy_async_backend_uses_the_connections_that_legacy_has_to_spare(stage: Stage) -> None:
    gate, legacy = Gate(), stage.upstream()
    edge = stage.edge(
        legacy.url,
        stage.upstream(gate).url,
        endpoints="GET /a: {weight: 100}",
        backend="connections: 1, timeouts: {connect: 100ms}",
    )
    with contextlib.closing(edge.connect()) as first:
        first.send(READ)
        assert gate.received.acquire(timeout=WAIT)
        assert edge.ask(READ).status == 200
    assert legacy.connections == 1
    assert edge.call(pool(edge).has_spare)


def test_a_client_that_left_while_waiting_is_passed_over(stage: Stage) -> None:
    gate = Gate()
    upstream = stage.upstream(gate)
    edge = stage.edge(upstream.url, endpoints=BOTH, backend="connections: 1")
    first, gone = edge.connect(), edge.connect()
    first.send(READ)
    assert gate.received.acquire(timeout=WAIT)
    gone.send(WRITE)
    eventually(lambda: waiting(edge) == 1, "one waits")
    gone.reset()
    eventually(lambda: edge.call(lambda: len(edge.services.clients.items)) == 1, "client gone")
    assert waiting(edge) == 0  # it does not take the place of one who is there
    gate.open.release()
    assert first.response().status == 200
    first.close()
    eventually(lambda: balanced(edge), "nothing outstanding")
    assert [data.split(b" ")[0] for data in upstream.requests] == [b"GET"]


def test_a_write_makes_room_for_itself_when_all_idle_connections_are_too_old_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WRITE_REUSE == 1.0
    monkeypatch.setattr("proxy.edge.upstream.pool.WRITE_REUSE", -1.0)
    upstream = stage.upstream(lambda wire, number: answering(ok(b"%d" % number))(wire, number))
    edge = stage.edge(upstream.url, endpoints=BOTH, backend="connections: 1")
    assert edge.ask(READ).body == b"1"
    assert edge.ask(READ).body == b"1"
    assert edge.ask(WRITE).body == b"2"
    assert balanced(edge)


def test_a_waiting_write_does_not_get_a_connection_that_has_been_closed(stage: Stage) -> None:
    """The upstream closes right behind its answer, without having said so."""
    first_received, go = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        if number == 1:
            first_received.set()
            go.wait(WAIT)
        answer = ok(b"%d" % number)
        wire.send(answer[:-1])
        wire.sock.setsockopt(socket.IPPROTO_TCP, 3, 1)  # TCP_CORK: the last byte leaves with the FIN
        wire.send(answer[-1:])

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=BOTH, backend="connections: 1")
    with contextlib.closing(edge.connect()) as first, contextlib.closing(edge.connect()) as second:
        first.send(READ)
        assert first_received.wait(WAIT)
        second.send(WRITE)
        eventually(lambda: waiting(edge) == 1, "one waits")
        go.set()
        assert first.response().body == b"1"
        assert second.response().body == b"2"


def test_a_waiting_upload_is_not_timed_by_the_exchange_before_it(stage: Stage) -> None:
    gate = Gate()
    edge = stage.edge(
        stage.upstream(gate).url, endpoints=BOTH, backend="connections: 1, timeouts: {response: 300ms}"
    )
    with contextlib.closing(edge.connect()) as first, contextlib.closing(edge.connect()) as second:
        first.send(READ)
        assert gate.received.acquire(timeout=WAIT)
        second.send(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"a" * 90_000)
        eventually(lambda: waiting(edge) == 1, "one waits")
        gate.open.release()
        assert first.response().status == 200
        eventually(
            lambda: edge.call(lambda: [u.deadline for u in _busy(edge)]) == [float("inf")], "no deadline yet"
        )
        second.send(b"a" * 10_000)
        gate.open.release()
        assert second.response().status == 200


def _busy(edge: Edge) -> list[UpstreamConnection]:
    items = edge.services.upstreams.items
    return [item for item in items if isinstance(item, UpstreamConnection) and item.exchange is not None]


def test_idle_connections_are_dropped_in_time(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url, backend="timeouts: {pool_idle: 100ms}")
    assert edge.ask(READ).status == 200
    eventually(lambda: edge.call(lambda: pool(edge).connections) == 0, "idle connection closed")
    assert balanced(edge)


def test_a_connection_is_reused_by_other_clients(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url)
    for _ in range(5):
        assert edge.ask(READ).status == 200
    assert upstream.connections == 1


# several upstreams


def test_several_upstreams_share_the_load(stage: Stage) -> None:
    upstreams = [stage.upstream() for _ in range(3)]
    edge = stage.edge([each.url for each in upstreams])

    def ask(_: int) -> int:
        return edge.ask(READ).status

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(120))) == {200}
    assert sum(len(each.requests) for each in upstreams) == 120
    assert all(each.requests for each in upstreams)


def test_one_that_fails_in_a_row_sits_out_and_comes_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.address.SIT_OUT", 0.3)
    alive, failing = stage.upstream(), stage.upstream(lambda wire, number: None)
    edge = stage.edge([alive.url, failing.url], rest="retries: {backoff: 1ms, min_per_second: 1000}")
    eventually(lambda: edge.ask(READ).status and failing.connections >= FAILURES, "failures in a row")
    out = edge.call(lambda: [address.out_until > 0 for address in pool(edge).addresses])
    assert out == [False, True]
    seen = failing.connections
    eventually(lambda: edge.ask(READ).status and failing.connections > seen, "asked again")


def test_all_of_them_never_sit_out(stage: Stage) -> None:
    first, second = dead_port(), dead_port()
    edge = stage.edge([first, second])
    for _ in range(3 * FAILURES):
        assert edge.ask(READ).status == 502
    assert edge.call(lambda: all(address.out_until > 0 for address in pool(edge).addresses))
    with socket.create_server(("127.0.0.1", int(first.rsplit(":", 1)[1]))) as listener:
        answered = threading.Thread(target=_answer_once, args=(listener,))
        answered.start()
        assert edge.ask(READ).status == 200
        answered.join(WAIT)


def _answer_once(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with contextlib.closing(sock):
        wire = Wire(sock)
        wire.request()
        wire.send(ok(extra=b"Connection: close\r\n"))


# kinds of upstreams


def test_a_unix_socket(stage: Stage, tmp_path: Path) -> None:
    upstream = stage.upstream(family=socket.AF_UNIX, path=str(tmp_path / "s"))
    edge = stage.edge(upstream.url, endpoints=BOTH)
    for request in (READ, WRITE):
        assert edge.ask(request).status == 200
    assert upstream.connections == 1


def test_a_unix_socket_that_is_not_there(stage: Stage, tmp_path: Path) -> None:
    response = stage.edge(f"unix:{tmp_path}/none").ask(READ)
    assert (response.status, response.header("x-proxy-error")) == (
        502,
        "source=upstream; kind=connect_failed",
    )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_an_https_upstream_is_verified_and_its_connections_are_reused(
    stage: Stage, authority: trustme.CA
) -> None:
    upstream = stage.upstream(tls=tls(authority))
    edge = stage.edge(upstream.url, endpoints=BOTH)
    for request in (READ, WRITE, READ):
        assert edge.ask(request).status == 200
    assert len(upstream.requests) == 3
    assert upstream.connections <= 2  # a session ticket behind the handshake may cost the first one its reuse


@pytest.mark.parametrize("problem", ["other name", "other authority"])
def test_an_https_upstream_that_is_not_who_it_should_be_gets_nothing(
    stage: Stage, authority: trustme.CA, problem: str
) -> None:
    context = tls(authority, "other.example") if problem == "other name" else tls(trustme.CA())
    upstream = stage.upstream(tls=context)
    response = stage.edge(upstream.url, endpoints=BOTH).ask(WRITE)
    assert (response.status, response.header("x-proxy-error")) == (
        502,
        "source=upstream; kind=connect_failed",
    )
    assert upstream.requests == []


def test_bodies_pass_through_https_whole_and_truncation_is_seen(stage: Stage, authority: trustme.CA) -> None:
    body = b"0123456789" * 200_000

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok(body))
        wire.request()
        wire.send(ok(body)[:-1])

    edge = stage.edge(stage.upstream(serve, tls=tls(authority)).url)
    assert edge.ask(READ).body == body
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"\r\n\r\n")
        assert client.is_reset()


def test_a_connect_timeout_is_answered_504(stage: Stage) -> None:
    """A listener whose queue is full does not answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}"
            edge = stage.edge(url, endpoints=BOTH, backend="timeouts: {connect: 200ms}")
            response = edge.ask(WRITE)
    assert (response.status, response.header("x-proxy-error")) == (
        504,
        "source=upstream; kind=connect_timeout",
    )
    assert edge.call(lambda: dict(edge.services.counters.unknown)) == {}


# configuration changes


def test_a_change_of_the_backend_serves_those_who_wait_and_closes_what_is_idle(stage: Stage) -> None:
    gate = Gate()
    upstream = stage.upstream(gate)
    edge = stage.edge(upstream.url, backend="connections: 1")
    first, second = edge.connect(), edge.connect()
    first.send(READ)
    assert gate.received.acquire(timeout=WAIT)
    second.send(READ)
    eventually(lambda: waiting(edge) == 1, "one waits")
    old = pool(edge)
    changed = snapshot(upstream.url, backend="connections: 2")
    edge.call(lambda: edge.services.apply(changed))
    assert pool(edge) is not old
    for client in (first, second):
        gate.open.release()
        assert client.response().status == 200
        client.close()
    eventually(lambda: edge.call(lambda: old.connections) == 0, "old pool empty")


def test_a_connection_that_was_sent_unasked_bytes_is_not_reused_even_before_they_were_read(
    stage: Stage,
) -> None:
    wires: list[Wire] = []

    def serve(wire: Wire, number: int) -> None:
        wires.append(wire)
        answering(ok())(wire, number)

    edge = stage.edge(stage.upstream(serve).url)
    assert edge.ask(READ).status == 200
    eventually(lambda: idle(edge) == 1, "the connection idles")

    def take_late() -> object:
        """In the edge's thread: the event loop has no turn between the bytes' arrival and this."""
        wires[0].send(ok(b"unasked"))
        pool = edge.services.pools["legacy"]
        descriptor = pool.addresses[0].idle[0].transport.get_extra_info("socket").fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(WAIT * 1000)
        return pool._idle(pool.addresses[0], write=False)

    assert edge.call(take_late) is None
    assert edge.ask(READ).body == b"ok"


def idle(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.pools["legacy"].addresses[0].idle))


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b""], ids=["speaks", "hangs up"]
)
def test_an_upstream_that_speaks_first_or_hangs_up_leaves_nothing_behind(
    stage: Stage, greeting: bytes
) -> None:
    def serve(wire: Wire, number: int) -> None:
        if greeting:
            wire.send(greeting)
            wire.read_until(b"\r\n\r\n")

    edge = stage.edge(stage.upstream(serve).url)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: edge.ask(READ).status, range(40)))
    assert set(answers) <= {502, 503}
    pool = edge.call(lambda: edge.services.pools["legacy"])
    eventually(lambda: edge.call(lambda: pool.connections == 0), "no connections")
    assert edge.call(lambda: pool.addresses[0].outstanding) == 0
    assert edge.call(lambda: list(edge.services.upstreams.items)) == []


def test_why_a_backend_cannot_be_reached_is_logged_once_and_that_it_can_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = socket.create_server(("127.0.0.1", 0))
    port = refusing.getsockname()[1]
    refusing.close()
    edge = stage.edge(f"http://127.0.0.1:{port}")
    read = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    with caplog.at_level("WARNING", "strangler.worker"):
        assert [edge.ask(read).status for _ in range(3)] == [502, 502, 502]
        (told,) = [each.getMessage() for each in caplog.records if "upstream" in each.getMessage()]
        assert told.startswith(f"legacy upstream http://127.0.0.1:{port} cannot be reached: ")
        assert "refused" in told or "Errno 111" in told or "Connect call failed" in told
        caplog.clear()
        with (
            socket.create_server(("127.0.0.1", port)) as listener,
            contextlib.closing(edge.connect()) as client,
        ):
            client.send(read)
            served, _ = listener.accept()
            with served:
                served.recv(4096)
                served.sendall(ok())
                assert client.response("GET").status == 200
        (told,) = [each.getMessage() for each in caplog.records if "upstream" in each.getMessage()]
        assert told.endswith("can be reached again")
