"""Reads whose async backend is dead, however it died: legacy answers every one of them, at any rate."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from proxy.core.traffic.intended import counts
from proxy.core.wire.messages import AddressSeen
from tests.edge.conftest import Stage
from tests.edge.exchange.test_exchange import READ, Serve, outcomes, reading_then, retries, silent
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok
from tests.support.ports import dead_port

SLOW = READ.replace(b"/a", b"/slow")
ERROR = b"HTTP/1.1 503 Oh\r\nContent-Length: 10\r\n"
SCALE = (
    10  # these tests live this many times as fast as a site: rates, windows and what refills by the second
)
SECONDS = 8 / SCALE
RATES = (1, 5, 20, 60)  # requests per second of the site that is meant

# On pooled connections too: the first request of each connection is served, and the second meets the fault.
FAULTS: dict[str, Callable[[Wire], None]] = {
    "FIN": lambda wire: wire.close(),
    "RST": lambda wire: wire.reset(),
    "timeout": silent,
    "5xx head, then FIN": lambda wire: wire.send(ERROR + b"\r\n"),
    "5xx and half its body, then FIN": lambda wire: wire.send(ERROR + b"\r\nhalf"),
    "half a head, then RST": lambda wire: (wire.send(ERROR), wire.reset())[1],
}


def once_then(act: Callable[[Wire], None]) -> Serve:
    """Serves one request of a connection and fails its second."""

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok(b"async"))
        wire.request()
        act(wire)

    return serve


def site(stage: Stage, async_: str, more: str = "") -> Edge:
    legacy = stage.upstream(answering(ok(b"legacy")))
    rest = f"retries: {{min_per_second: {3 * SCALE}}}\n"
    rest += f"breaker: {{window: {10_000 // SCALE}ms, open_for: {10_000 // SCALE // 4}ms{more}}}"
    timeouts = "timeouts: {connect: 300ms, response: 100ms, idle: 100ms}"
    return stage.edge(
        legacy.url, async_, endpoints="GET /a: {weight: 100}", rest=rest, async_backend=timeouts
    )


def paced(edge: Edge, rate: float, seconds: float = SECONDS) -> list[tuple[int, bytes]]:
    """An answer to each request; one is sent at each tick, whatever became of those before it."""

    async def ask(at: float) -> tuple[int, bytes]:
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        with contextlib.closing(writer):
            writer.write(READ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = await reader.read()
        return int(answer[9:12] or 0), answer.rpartition(b"\r\n\r\n")[2]

    async def ask_all() -> list[tuple[int, bytes]]:
        begin = asyncio.get_running_loop().time()
        asked = [ask(begin + number / rate) for number in range(max(6, int(rate * seconds)))]
        return await asyncio.wait_for(asyncio.gather(*asked), WAIT)

    return asyncio.run(ask_all())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("act", FAULTS.values(), ids=FAULTS)
def test_no_read_fails_while_async_breaks_every_request(
    stage: Stage, act: Callable[[Wire], None], rate: int
) -> None:
    async_ = stage.upstream(reading_then(act))
    answers = paced(site(stage, async_.url), rate * SCALE)
    assert async_.requests, "async was never asked, so this has shown nothing"
    assert set(answers) == {(200, b"legacy")}


@pytest.mark.parametrize("rate", RATES)
def test_no_read_fails_while_async_refuses_connections(stage: Stage, rate: int) -> None:
    assert set(paced(site(stage, dead_port()), rate * SCALE)) == {(200, b"legacy")}


@pytest.mark.parametrize("act", FAULTS.values(), ids=FAULTS)
def test_no_read_fails_while_async_breaks_pooled_connections(
    stage: Stage, act: Callable[[Wire], None]
) -> None:
    async_ = stage.upstream(once_then(act))
    answers = paced(site(stage, async_.url), 20 * SCALE)
    assert {status for status, _ in answers} == {200}
    assert len(async_.requests) > async_.connections, "no pooled connection was used"


# pools and connections


def test_reads_for_which_a_hanging_async_has_no_connection_left_are_answered_by_legacy(stage: Stage) -> None:
    async_ = stage.upstream(reading_then(silent))
    legacy = stage.upstream(answering(ok(b"legacy")))
    edge = stage.edge(
        legacy.url,
        async_.url,
        endpoints="GET /a: {weight: 100, breaker: {consecutive: 1000, min_requests: 1000}}",
        rest="breaker: {consecutive: 1000, min_requests: 1000}",
        async_backend="connections: 1, timeouts: {connect: 1100ms, response: 3s}",
    )
    with contextlib.closing(edge.connect()) as first:
        first.send(READ)
        eventually(lambda: async_.requests, "the only connection is taken")
        assert edge.ask(READ).body == b"legacy"
        assert first.response().body == b"legacy"
    assert retries(edge) == {"no_connection": 1, "timeout": 1}


def busy(stage: Stage, serve: Serve, more: str = "") -> Edge:
    """A site whose async has one connection; a read that waits for it gives up after 1.1 s."""
    legacy = stage.upstream(answering(ok(b"legacy")))
    return stage.edge(
        legacy.url,
        stage.upstream(serve).url,
        endpoints="GET /a: {weight: 100}\nGET /slow: {weight: 100}",
        rest=f"breaker: {{consecutive: 1}}{more}",
        async_backend="connections: 1, timeouts: {connect: 1100ms}",
    )


def breakers(edge: Edge) -> list[str]:
    return [line.name for line in edge.stats().breakers]


def test_reads_for_which_a_busy_async_has_no_connection_are_answered_by_a_legacy_that_has(
    stage: Stage,
) -> None:
    gate = threading.Event()

    def slow(wire: Wire) -> None:
        gate.wait(WAIT)
        wire.send(ok(b"async"))

    edge = busy(stage, reading_then(slow))
    asked = [edge.connect() for _ in range(8)]
    with contextlib.ExitStack() as stack:
        for wire in asked:
            stack.enter_context(contextlib.closing(wire))
            wire.send(READ)
        eventually(lambda: requests(edge) >= 3, "some may not even wait")
        gate.set()
        bodies = [wire.response().body for wire in asked]
    assert set(bodies) == {b"async", b"legacy"}
    assert counts(edge.stats())["GET /a", "async", "saved"] == bodies.count(b"legacy") >= 3
    assert breakers(edge) == []


def requests(edge: Edge) -> int:
    return edge.call(lambda: sum(edge.services.counters.requests.values()))


def test_a_legacy_without_a_free_connection_is_not_burdened_with_what_a_busy_async_cannot_take(
    stage: Stage,
) -> None:
    legacy = stage.upstream(reading_then(silent))
    edge = stage.edge(
        legacy.url,
        stage.upstream(trickling(threading.Event())).url,
        endpoints="GET /a: {weight: 100}\nGET /slow: {weight: 100}\nGET /old: {weight: 0}",
        backend="connections: 1, timeouts: {connect: 100ms}",
    )
    with contextlib.closing(edge.connect()) as first, contextlib.closing(edge.connect()) as second:
        first.send(SLOW)
        first.read_until(b"\r\n\r\n")
        second.send(READ.replace(b"/a", b"/old"))
        eventually(lambda: legacy.requests, "legacy is taken")
        assert edge.ask(READ).status == 503
    assert len(legacy.requests) == 1
    assert counts(edge.stats())["GET /a", "async", "error"] == 1


def test_a_write_for_which_a_busy_async_has_no_connection_is_refused(stage: Stage) -> None:
    edge = stage.edge(
        stage.upstream(answering(ok(b"legacy"))).url,
        stage.upstream(trickling(threading.Event())).url,
        endpoints="GET /slow: {weight: 100}\nPOST /w: {weight: 100, force: test, fallback: legacy}",
        async_backend="connections: 1, timeouts: {connect: 100ms}",
    )
    with contextlib.closing(edge.connect()) as first:
        first.send(SLOW)
        first.read_until(b"\r\n\r\n")
        assert edge.ask(b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").status == 503


def trickling(ended: threading.Event) -> Serve:
    def trickle(wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not ended.wait(0.05):
            wire.send(b"x")

    return reading_then(trickle)


def test_an_async_that_is_sending_an_answer_is_busy_and_opens_no_breaker(stage: Stage) -> None:
    ended = threading.Event()
    edge = busy(stage, trickling(ended))
    with contextlib.closing(edge.connect()) as first:
        first.send(SLOW)
        first.read_until(b"\r\n\r\n")
        assert edge.ask(READ).body == b"legacy"
        ended.set()
    assert breakers(edge) == []


def test_an_async_whose_every_connection_waits_for_a_slow_client_does_not_hang(stage: Stage) -> None:
    edge = busy(
        stage, answering(ok(bytes(24 * 1024 * 1024))), "\nserver: {buffers: {request: 1KiB, response: 4KiB}}"
    )
    edge.call(
        lambda: setattr(edge.services.pools["async"]._slow_clients, "_looking", True)
    )  # nobody gives way
    with contextlib.closing(edge.connect()) as first:
        first.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        first.send(SLOW)
        eventually(lambda: edge.call(lambda: len(edge.services.pools["async"].stalled)), "it has stalled")
        assert not edge.call(lambda: edge.services.pools["async"].is_stuck())
        assert edge.ask(READ).body == b"legacy"
    assert breakers(edge) == []


def test_a_full_pool_opens_no_breaker_even_where_nothing_comes(stage: Stage) -> None:
    """It may hang, or serve a long poll: legacy answers this read, and the next one asks async again."""
    edge = busy(stage, reading_then(silent))
    with contextlib.closing(edge.connect()) as first:
        first.send(SLOW)
        eventually(lambda: edge.call(lambda: edge.services.pools["async"].connections), "it is taken")
        assert edge.ask(READ).body == b"legacy"
        assert retries(edge) == {"no_connection": 1}
        assert breakers(edge) == []


def test_a_hang_on_pooled_connections_opens_the_breakers(stage: Stage) -> None:
    edge = site(stage, stage.upstream(once_then(silent)).url, ", consecutive: 1")
    assert [edge.ask(READ).body for _ in range(2)] == [b"async", b"legacy"]
    assert retries(edge) == {"timeout": 1}
    assert breakers(edge) == ["async", "GET /a"]


def test_what_bounds_the_fallback_is_what_legacy_can_take(stage: Stage) -> None:
    legacy = stage.upstream(reading_then(silent))
    edge = stage.edge(
        legacy.url,
        dead_port(),
        endpoints="GET /a: {weight: 100}",
        backend="connections: 1, timeouts: {connect: 100ms, response: 2s}",
    )
    with contextlib.closing(edge.connect()) as first:
        first.send(READ)
        eventually(lambda: legacy.requests, "legacy is taken")
        second = edge.ask(READ)
        assert (second.status, second.header("retry-after")) == (503, "1")


def test_a_read_that_a_pooled_connection_has_swallowed_goes_to_the_fallback_at_once(stage: Stage) -> None:
    async_ = stage.upstream(once_then(lambda wire: wire.close()))
    edge = site(stage, async_.url)
    assert [edge.ask(READ).body for _ in range(2)] == [b"async", b"legacy"]
    assert len(async_.requests) == 2
    assert retries(edge) == {"reset": 1}


def test_a_pooled_connection_that_was_closed_before_it_read_the_request_says_nothing_of_async(
    stage: Stage,
) -> None:
    """Closed with the request unread, which resets it: as when the two ends of an idle connection cross."""

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok(b"%d" % number))
        if number == 1:
            wire.sock.recv(1, socket.MSG_PEEK)
        else:
            answering(ok(b"%d" % number))(wire, number)

    edge = site(stage, stage.upstream(serve).url, ", consecutive: 1")
    assert [edge.ask(READ).body for _ in range(2)] == [b"1", b"2"]
    assert retries(edge) == {"stale_connection": 1}
    assert edge.stats().breakers == []


# async as a whole


def test_an_endpoint_is_spared_an_async_that_has_failed_others(stage: Stage) -> None:
    async_ = stage.upstream(reading_then(lambda wire: wire.close()))
    legacy = stage.upstream(answering(ok(b"legacy")))
    edge = stage.edge(legacy.url, async_.url, endpoints="GET /{name}: {weight: 100}\nGET /x/y: {weight: 100}")
    for _ in range(5):
        assert edge.ask(READ).body == b"legacy"
    asked = len(async_.requests)
    assert edge.ask(READ.replace(b"/a", b"/x/y")).body == b"legacy"
    assert len(async_.requests) == asked
    assert outcomes(edge)["GET /x/y", "legacy", "breaker", 200] == 1


def test_errors_of_one_endpoint_do_not_divert_another(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                bad = b"/x/y" in wire.request()
                wire.send(ERROR + b"\r\n" + b"0123456789" if bad else ok(b"async"))

    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(serve)
    edge = stage.edge(legacy.url, async_.url, endpoints="GET /{name}: {weight: 100}\nGET /x/y: {weight: 100}")
    for _ in range(5):
        assert edge.ask(READ.replace(b"/a", b"/x/y")).status == 503
    assert edge.ask(READ.replace(b"/a", b"/x/y")).body == b"legacy"
    assert edge.ask(READ).body == b"async"


# what is counted


def test_the_wait_for_async_is_not_booked_as_legacys_time(stage: Stage) -> None:
    async_ = stage.upstream(reading_then(silent))
    edge = site(stage, async_.url)
    assert edge.ask(READ).body == b"legacy"
    assert outcomes(edge) == {("GET /a", "legacy", "fallback", 200): 1}
    [latency] = edge.stats().latencies
    assert (latency.backend, sum(latency.counts)) == ("async", 1)
    assert latency.total >= 0.1


def test_what_each_address_did_is_reported(stage: Stage) -> None:
    edge = site(stage, dead_port())
    for _ in range(3):
        edge.ask(READ)
    legacy, async_ = edge.stats().addresses
    assert (legacy.backend, legacy.failures, legacy.failed) == ("legacy", 0, -1)
    assert (async_.backend, async_.failures, async_.answered) == ("async", 3, -1)
    assert legacy.answered >= 0
    assert async_.failed >= 0


def test_requests_that_wait_long_for_an_answer_are_reported_until_it_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 0.0)
    gate = threading.Event()

    def serve(wire: Wire) -> None:
        gate.wait(WAIT)
        wire.send(ok(b"async"))

    async_ = stage.upstream(reading_then(serve))
    edge = stage.edge(stage.upstream().url, async_.url, endpoints="GET /a: {weight: 100}")

    def seen() -> AddressSeen:
        return next(line for line in edge.stats().addresses if line.backend == "async")

    assert (seen().waiting, seen().heard) == (0, -1)
    with contextlib.closing(edge.connect()) as first, contextlib.closing(edge.connect()) as second:
        first.send(READ)
        second.send(READ)
        eventually(lambda: seen().waiting == 2, "both wait")
        assert seen().heard == -1
        gate.set()
        eventually(lambda: seen().waiting == 0, "both are answered")
        assert seen().heard >= 0


def test_answers_of_the_proxys_own_are_counted_apart(stage: Stage) -> None:
    legacy = stage.upstream()
    edge = stage.edge(
        legacy.url,
        dead_port(),
        endpoints="GET /a: {weight: 100, fallback: none}\nPOST /w: {weight: 0}",
        rest="server: {limits: {body_bytes: 4}}",
    )
    assert edge.ask(READ).status == 502
    chunked = b"POST /w HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n"
    assert edge.ask(chunked).status == 413
    stats = edge.stats()
    assert [(line.endpoint, line.status, line.count) for line in stats.own] == [("POST /w", 413, 1)]
    assert counts(stats) == {("GET /a", "async", "error"): 1}
