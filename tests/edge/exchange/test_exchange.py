"""One request and its answer, through an edge with real sockets on both sides: first the failure rules."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from proxy.core.settings import BackendName
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Script, Wire, answering, eventually, ok
from tests.support.ports import dead_port

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
ON_LEGACY = "GET /a: {weight: 0}\nPOST /w: {weight: 0}"
ON_ASYNC = "GET /a: {weight: 100}\nPOST /w: {weight: 100, force: test}"
WRITE_WITH_FALLBACK = "POST /w: {weight: 100, force: test, fallback: legacy}"
SHORT = "timeouts: {connect: 300ms, response: 200ms, idle: 200ms}"
NO_WAIT = "retries: {backoff: 1ms, max_backoff: 1ms}"

Serve = Callable[[Wire, int], None]


def reading_then(act: Callable[[Wire], None]) -> Serve:
    """Read one request, then do this."""

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        act(wire)

    return serve


def silent(wire: Wire) -> None:
    with contextlib.suppress(EOFError):
        wire.read_until(b"\0never")


def errors(edge: Edge) -> dict[tuple[str, str], int]:
    return edge.call(lambda: dict(edge.services.counters.errors))


def unknown(edge: Edge) -> int:
    return edge.call(lambda: sum(edge.services.counters.unknown.values()))


def retries(edge: Edge) -> dict[str, int]:
    return edge.call(lambda: {why: count for (_, why), count in edge.services.counters.retries.items()})


def outcomes(edge: Edge) -> dict[tuple[str, str, str, int], int]:
    return edge.call(lambda: dict(edge.services.counters.requests))


def connections(edge: Edge, backend: BackendName = "legacy") -> int:
    return edge.call(lambda: edge.services.pools[backend].connections)


# nothing was sent


def test_a_read_that_can_not_connect_falls_back(stage: Stage) -> None:
    legacy = stage.upstream()
    edge = stage.edge(legacy.url, dead_port(), endpoints=ON_ASYNC)
    response = edge.ask(READ)
    assert (response.status, response.header("x-served-by")) == (200, "legacy")
    assert outcomes(edge) == {("GET /a", "legacy", "fallback", 200): 1}
    assert retries(edge) == {"connect_failed": 1}


def test_a_write_that_can_not_connect_is_answered_502_and_goes_nowhere_else(stage: Stage) -> None:
    legacy = stage.upstream()
    edge = stage.edge(legacy.url, dead_port(), endpoints=ON_ASYNC)
    response = edge.ask(WRITE)
    assert response.status == 502
    assert response.header("x-proxy-error") == "source=upstream; kind=connect_failed"
    assert response.header("content-type") == "application/problem+json"
    assert legacy.connections == 0
    assert unknown(edge) == 0


def test_a_write_takes_a_fallback_that_is_named_while_nothing_was_sent(stage: Stage) -> None:
    legacy = stage.upstream()
    edge = stage.edge(legacy.url, dead_port(), endpoints=WRITE_WITH_FALLBACK)
    response = edge.ask(WRITE)
    assert (response.status, response.header("x-served-by")) == (200, "legacy")
    assert len(legacy.requests) == 1
    assert unknown(edge) == 0


def test_a_write_that_was_sent_does_not_take_its_fallback(stage: Stage) -> None:
    legacy = stage.upstream()
    async_ = stage.upstream(lambda wire, number: wire.reset() if wire.request() else None)
    edge = stage.edge(legacy.url, async_.url, endpoints=WRITE_WITH_FALLBACK)
    assert edge.ask(WRITE).status == 502
    assert (len(async_.requests), legacy.connections) == (1, 0)
    assert unknown(edge) == 1


def test_a_read_whose_answer_breaks_off_behind_its_head_falls_back(stage: Stage) -> None:
    legacy = stage.upstream()

    def break_off(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        wire.reset()

    edge = stage.edge(legacy.url, stage.upstream(break_off).url, endpoints=ON_ASYNC)
    response = edge.ask(READ)
    assert (response.status, response.header("x-served-by")) == (200, "legacy")


def test_without_a_fallback_a_read_that_can_not_connect_is_answered_502(stage: Stage) -> None:
    legacy = stage.upstream()
    edge = stage.edge(legacy.url, dead_port(), endpoints="GET /a: {weight: 100, fallback: none}")
    assert edge.ask(READ).status == 502
    assert legacy.connections == 0


def test_legacy_has_no_fallback(stage: Stage) -> None:
    async_ = stage.upstream()
    edge = stage.edge(dead_port(), async_.url, endpoints=ON_LEGACY)
    assert edge.ask(READ).status == 502
    assert async_.connections == 0


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_another_upstream_of_the_backend_is_tried_while_nothing_was_sent(
    stage: Stage, request_: bytes
) -> None:
    alive = stage.upstream()
    edge = stage.edge([dead_port(), alive.url], endpoints=ON_LEGACY)
    for _ in range(5):
        assert edge.ask(request_).status == 200
    assert len(alive.requests) == 5


# a pooled connection turns out to be dead


def closing_after_first(wire: Wire, number: int) -> None:
    """The first connection answers once, then dies on the next request without a word."""
    wire.request()
    wire.send(ok(b"%d" % number))
    if number == 1:
        wire.request()
        return
    answering(ok(b"%d" % number))(wire, number)


def test_a_read_on_a_pooled_connection_that_dies_is_sent_once_more(stage: Stage) -> None:
    upstream = stage.upstream(closing_after_first)
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY)
    assert [edge.ask(READ).body for _ in range(2)] == [b"1", b"2"]
    assert len(upstream.requests) == 3
    assert retries(edge) == {"stale_connection": 1}


def test_a_write_on_a_pooled_connection_that_dies_is_not_sent_again(stage: Stage) -> None:
    upstream = stage.upstream(closing_after_first)
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY)
    assert edge.ask(READ).body == b"1"
    response = edge.ask(WRITE)
    assert response.status == 502
    assert response.header("x-proxy-error") == "source=upstream; kind=reset"
    assert [data for data in upstream.requests if data.startswith(b"POST")] == upstream.requests[1:]
    assert len(upstream.requests) == 2
    assert unknown(edge) == 1


def test_a_write_does_not_take_a_pooled_connection_that_the_upstream_has_closed(stage: Stage) -> None:
    closed = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok(b"%d" % number))
        if number == 1:
            wire.close()
            closed.set()

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        assert client.response().body == b"1"
        closed.wait(WAIT)
        client.send(WRITE)
        assert client.response().body == b"2"


def test_a_request_that_kills_every_connection_is_tried_a_bounded_number_of_times(stage: Stage) -> None:
    """A request of death must not go down the whole stack of pooled connections."""
    pooled = 6
    together = threading.Barrier(pooled)

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        if number <= pooled:
            together.wait(WAIT)
            wire.send(ok())
            wire.request()

    upstream = stage.upstream(serve)
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY, rest=NO_WAIT)
    clients = [edge.connect() for _ in range(pooled)]
    for client in clients:
        client.send(READ)
    for client in clients:
        assert client.response().status == 200
        client.close()
    assert edge.ask(READ).status == 502
    assert len(upstream.requests) - pooled == 3  # pooled, fresh, and one retry from the budget


# bytes were sent


FAULTS: dict[str, tuple[Callable[[Wire], None], int, str]] = {
    "closes": (lambda wire: wire.close(), 502, "reset"),
    "resets": (lambda wire: wire.reset(), 502, "reset"),
    "says nothing": (silent, 504, "timeout"),
    "begins a head": (
        lambda wire: (wire.send(b"HTTP/1.1 200 OK\r\nA: b\r\n"), silent(wire))[0],
        504,
        "timeout",
    ),
    "closes within the head": (lambda wire: wire.send(b"HTTP/1.1 200 OK\r\nA: b\r\n"), 502, "reset"),
    "sends garbage": (lambda wire: (wire.send(b"garbage"), silent(wire))[0], 502, "bad_response"),
}


@pytest.mark.parametrize(("act", "status", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_write_that_was_sent_is_received_once_and_its_outcome_is_unknown(
    stage: Stage, act: Callable[[Wire], None], status: int, kind: str
) -> None:
    legacy, async_ = stage.upstream(), stage.upstream(reading_then(act))
    edge = stage.edge(legacy.url, async_.url, endpoints=ON_ASYNC, backend=SHORT)
    response = edge.ask(WRITE)
    assert response.status == status
    assert response.header("x-proxy-error") == f"source=upstream; kind={kind}"
    assert b"may or may not have been executed" in response.body
    assert len(async_.requests) == 1
    assert legacy.requests == []
    assert unknown(edge) == 1
    assert errors(edge) == {("upstream", kind): 1}


@pytest.mark.parametrize(("act", "status", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_read_that_was_sent_is_retried_on_the_fallback(
    stage: Stage, act: Callable[[Wire], None], status: int, kind: str
) -> None:
    legacy, async_ = stage.upstream(), stage.upstream(reading_then(act))
    edge = stage.edge(legacy.url, async_.url, endpoints=ON_ASYNC, backend=SHORT, rest=NO_WAIT)
    response = edge.ask(READ)
    assert (response.status, response.header("x-served-by")) == (200, "legacy")
    assert (len(async_.requests), len(legacy.requests)) == (1, 1)
    assert retries(edge) == {kind: 1}
    assert unknown(edge) == 0


@pytest.mark.parametrize(("act", "status", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_read_without_a_fallback_is_retried_once(
    stage: Stage, act: Callable[[Wire], None], status: int, kind: str
) -> None:
    upstream = stage.upstream(reading_then(act))
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY, backend=SHORT, rest=NO_WAIT)
    response = edge.ask(READ)
    assert response.status == status
    assert response.header("x-proxy-error") == f"source=upstream; kind={kind}"
    assert len(upstream.requests) == 2
    assert errors(edge) == {("upstream", kind): 1}


def test_without_budget_a_read_that_was_sent_is_not_retried(stage: Stage) -> None:
    upstream = stage.upstream(reading_then(lambda wire: wire.close()))
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY, rest="retries: {budget: 0%, min_per_second: 0}")
    assert edge.ask(READ).status == 502
    assert len(upstream.requests) == 1


def test_retries_stop_when_their_budget_is_spent(stage: Stage) -> None:
    upstream = stage.upstream(reading_then(lambda wire: wire.close()))
    budget = "retries: {budget: 0%, min_per_second: 0.001, backoff: 1ms}"
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY, rest=budget)
    for _ in range(10):
        assert edge.ask(READ).status == 502
    assert len(upstream.requests) <= 11


def test_a_5xx_is_passed_through(stage: Stage) -> None:
    legacy = stage.upstream()
    async_ = stage.upstream(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"))
    edge = stage.edge(legacy.url, async_.url, endpoints=ON_ASYNC)
    for request in (READ, WRITE):
        response = edge.ask(request)
        assert (response.status, response.body) == (503, b"busy")
        assert response.header("x-proxy-error") is None
    assert legacy.requests == []
    assert len(async_.requests) == 2


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_unsafe_methods_count_as_writes_also_when_idempotent(stage: Stage, method: str) -> None:
    upstream = stage.upstream(reading_then(lambda wire: wire.close()))
    edge = stage.edge(upstream.url, endpoints=f"{method} /x: {{weight: 0}}")
    assert edge.ask(f"{method} /x HTTP/1.1\r\nHost: h\r\n\r\n".encode()).status == 502
    assert len(upstream.requests) == 1


def test_an_endpoint_that_says_it_is_safe_is_retried_whatever_its_method(stage: Stage) -> None:
    upstream = stage.upstream(reading_then(lambda wire: wire.close()))
    edge = stage.edge(upstream.url, endpoints="POST /w: {weight: 0, safe: true}", rest=NO_WAIT)
    assert edge.ask(WRITE).status == 502
    assert [data[-4:] for data in upstream.requests] == [b"body", b"body"]


# part of the answer is out


TRUNCATED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nA: b\r\n",
}


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED)
def test_the_client_of_a_truncated_answer_sees_a_reset(stage: Stage, answer: bytes, version: bytes) -> None:
    legacy, async_ = stage.upstream(), stage.upstream(reading_then(lambda wire: wire.send(answer)))
    edge = stage.edge(legacy.url, async_.url, endpoints=ON_ASYNC)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ.replace(b"HTTP/1.1", version))
        assert client.read_until(b"half").startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.is_reset()
    assert legacy.requests == []
    assert len(async_.requests) == 1
    assert outcomes(edge) == {("GET /a", "async", "weight", 0): 1}


def test_a_pause_in_the_answer_beyond_the_idle_timeout_ends_in_a_reset(stage: Stage) -> None:
    def act(wire: Wire) -> None:
        wire.send(TRUNCATED["length"])
        silent(wire)

    upstream = stage.upstream(reading_then(act))
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY, backend=SHORT)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        client.read_until(b"half")
        assert client.is_reset()
    assert errors(edge) == {("upstream", "timeout"): 1}


def test_a_request_behind_a_truncated_answer_is_not_begun(stage: Stage) -> None:
    upstream = stage.upstream(reading_then(lambda wire: wire.send(TRUNCATED["length"])))
    edge = stage.edge(upstream.url, endpoints=ON_LEGACY)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ + WRITE)
        client.read_until(b"half")
        assert client.is_reset()
    edge.call(lambda: None)
    assert connections(edge) == 0
    assert [data.split(b" ")[0] for data in upstream.requests] == [b"GET"]


# who serves what


def test_the_response_timeout_of_the_endpoint_wins(stage: Stage) -> None:
    upstream = stage.upstream(reading_then(silent))
    edge = stage.edge(upstream.url, endpoints="POST /w: {weight: 0, timeouts: {response: 50ms}}")
    assert edge.ask(WRITE).status == 504


def test_the_idle_timeout_of_the_endpoint_wins(stage: Stage) -> None:
    went_on = threading.Event()

    def serve(wire: Wire, _: int) -> None:
        with contextlib.suppress(EOFError):
            patient = b"/patient" in wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            if patient:
                assert went_on.wait(WAIT)
                wire.send(b"1\r\nb\r\n0\r\n\r\n")
            wire.read_all()

    edge = stage.edge(
        stage.upstream(serve).url,
        endpoints="GET /patient: {timeouts: {idle: 1h}}\nGET /a: {}",
        backend="timeouts: {idle: 50ms}",
    )
    with contextlib.closing(edge.connect()) as patient:
        patient.send(b"GET /patient HTTP/1.1\r\nHost: h\r\n\r\n")
        patient.read_until(b"a\r\n")
        with contextlib.closing(edge.connect()) as hasty:  # begun later, cut off first
            hasty.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                hasty.read_all()
        went_on.set()
        patient.read_until(b"0\r\n\r\n")


def legacy_and_async(stage: Stage) -> tuple[Script, Script]:
    return stage.upstream(answering(ok(b"legacy"))), stage.upstream(answering(ok(b"async")))


def test_the_override_is_obeyed_with_the_token_only_and_stripped_always(stage: Stage) -> None:
    legacy, async_ = legacy_and_async(stage)
    edge = stage.edge(legacy.url, async_.url, endpoints=ON_LEGACY, rest="override: {token: secret}")
    head = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Backend: async\r\n"
    assert edge.ask(head + b"X-Backend-Token: secret\r\n\r\n").body == b"async"
    assert edge.ask(head + b"X-Backend-Token: wrong\r\n\r\n").body == b"legacy"
    assert edge.ask(head + b"\r\n").body == b"legacy"
    assert not any(b"x-backend" in data.lower() for data in legacy.requests + async_.requests)


def test_unlisted_requests_go_to_legacy_and_may_be_answered_404(stage: Stage) -> None:
    legacy, async_ = legacy_and_async(stage)
    unlisted = b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n"
    assert stage.edge(legacy.url, async_.url).ask(unlisted).body == b"legacy"
    edge = stage.edge(legacy.url, async_.url, rest="unlisted: '404'")
    with contextlib.closing(edge.connect()) as client:
        for _ in range(2):  # the connection stays usable
            client.send(unlisted)
            response = client.response()
            assert response.status == 404
            assert response.header("x-proxy-error") == "source=client; kind=unlisted"
        client.send(b"POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + READ)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1 404 ") == 1


def test_ambiguous_paths_go_to_legacy_byte_for_byte_or_are_rejected(stage: Stage) -> None:
    legacy, async_ = legacy_and_async(stage)
    targets = [b"/a%2Fb", b"//a", b"/x/../a", b"/%2e/a", b"/a%00", b"/a\\b"]
    edge = stage.edge(legacy.url, async_.url, endpoints="GET /a: {weight: 100}")
    for target in targets:
        assert edge.ask(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n").body == b"legacy"
    assert [data.split(b" ")[1] for data in legacy.requests] == targets
    strict = stage.edge(legacy.url, async_.url, rest="server: {ambiguous_paths: reject}")
    for target in targets:
        response = strict.ask(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (response.status, response.header("x-proxy-error")) == (
            400,
            "source=client; kind=ambiguous_path",
        )
    assert len(legacy.requests) == len(targets)


def test_x_served_by_is_ours_alone_and_can_be_left_out(stage: Stage) -> None:
    claims = stage.upstream(answering(ok(extra=b"X-Served-By: me\r\n")))
    assert stage.edge(claims.url).ask(READ).headers("x-served-by") == ["legacy"]
    hidden = stage.edge(claims.url, rest="server: {expose_backend: false}")
    assert hidden.ask(READ).headers("x-served-by") == ["me"]


def test_a_request_id_is_made_and_one_that_is_there_is_kept(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url)
    edge.ask(READ)
    edge.ask(READ)
    edge.ask(READ.replace(b"Host: h\r\n", b"Host: h\r\nX-Request-Id: mine\r\nTraceparent: 00-1-2-3\r\n"))
    ids = [
        line.split(b": ")[1]
        for data in upstream.requests
        for line in data.split(b"\r\n")
        if line.lower().startswith(b"x-request-id")
    ]
    assert len(set(ids)) == 3
    assert ids[2] == b"mine"
    assert b"\r\nTraceparent: 00-1-2-3\r\n" in upstream.requests[2]


def test_an_exchange_is_observed_once_with_everything_known(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url)
    for _ in range(3):
        edge.ask(READ)
    assert outcomes(edge) == {("GET /a", "legacy", "weight", 200): 3}
    stats = edge.stats()
    assert [sum(row.counts) for row in stats.latencies] == [3]
    assert eventually(lambda: edge.stats().connections == 0, "clients gone")


def test_trailers_of_a_request_that_streams_reach_the_upstream(stage: Stage) -> None:
    seen: list[bytes] = []

    def serve(wire: Wire, number: int) -> None:
        seen.append(wire.read_until(b"\r\n\r\n"))
        seen.append(wire.read_until(b"0\r\n") + wire.read_until(b"\r\n\r\n"))
        wire.send(ok())

    edge = stage.edge(stage.upstream(serve).url, endpoints=ON_LEGACY)
    with contextlib.closing(edge.connect()) as client:
        chunk = b"14000\r\n" + b"x" * 0x14000 + b"\r\n"
        client.send(b"POST /w HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        eventually(lambda: bool(seen))  # the head: from here on it streams
        client.send(b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\nX-Forwarded-For: 1\r\n\r\n")
        assert client.response().status == 200
        assert b"transfer-encoding: chunked" in seen[0].lower()
        assert seen[1] == chunk + b"0\r\nX-Sum: 1\r\n\r\n"
