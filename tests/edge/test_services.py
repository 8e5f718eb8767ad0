"""What all connections share: breakers, the retry budget, the snapshot, forwarded headers, the figures."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Script, Wire, answering, eventually, ok, snapshot

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
FAILED = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"


def outcomes(edge: Edge) -> dict[tuple[str, str, str, int], int]:
    return edge.call(lambda: dict(edge.services.counters.requests))


# the breaker


def endpoint(rules: str = "open_for: 300ms, min_requests: 5") -> str:
    return f"GET /a: {{weight: 100, breaker: {{{rules}}}}}"


class Switch:
    """An upstream that fails while it is told to."""

    def __init__(self) -> None:
        self.failing = True

    def __call__(self, wire: Wire, number: int) -> None:
        while True:
            wire.request()
            wire.send(FAILED if self.failing else ok(b"async"))


def test_a_breaker_opens_sends_reads_to_legacy_and_ramps_back(stage: Stage) -> None:
    switch = Switch()
    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(switch)
    edge = stage.edge(legacy.url, async_.url, endpoints=endpoint())
    for _ in range(5):
        assert edge.ask(READ).status == 500
    for _ in range(3):
        assert edge.ask(READ).body == b"legacy"
    assert len(async_.requests) == 5
    assert outcomes(edge) == {("GET /a", "async", "weight", 500): 5, ("GET /a", "legacy", "breaker", 200): 3}
    (row,) = edge.stats().breakers
    assert (row.name, row.state) == ("GET /a", "open")
    switch.failing = False
    eventually(lambda: edge.ask(READ).body == b"async", "some traffic back")
    eventually(lambda: edge.ask(READ).status and not edge.stats().breakers, "closed")
    assert [edge.ask(READ).body for _ in range(5)] == [b"async"] * 5


def test_a_breaker_that_finds_no_better_asks_with_one_request_at_a_time(stage: Stage) -> None:
    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(answering(FAILED))
    edge = stage.edge(legacy.url, async_.url, endpoints=endpoint("open_for: 100ms, min_requests: 3"))
    for _ in range(3):
        assert edge.ask(READ).status == 500
    began = time.monotonic()

    def asked_again() -> bool:
        edge.ask(READ)
        assert [row.state for row in edge.stats().breakers] == ["open"]
        return len(async_.requests) >= 6

    eventually(asked_again, "async was asked three times more")
    assert len(async_.requests) - 3 <= (time.monotonic() - began) / 0.1


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        pytest.param(
            "POST /w: {weight: 100, force: test, breaker: {min_requests: 2}}",
            b"POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            id="writes",
        ),
        pytest.param(
            "GET /a: {weight: 100, fallback: none, breaker: {min_requests: 2}}", READ, id="without a fallback"
        ),
    ],
)
def test_what_has_no_fallback_stays_where_its_weight_sends_it(
    stage: Stage, line: str, request_: bytes
) -> None:
    legacy, async_ = stage.upstream(), stage.upstream(answering(FAILED))
    edge = stage.edge(legacy.url, async_.url, endpoints=line)
    for _ in range(10):
        assert edge.ask(request_).status == 500
    assert legacy.connections == 0


def test_a_breaker_keeps_its_state_over_a_reload_unless_its_rules_change(stage: Stage) -> None:
    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(answering(FAILED))
    edge = stage.edge(legacy.url, async_.url, endpoints=endpoint("min_requests: 3"))
    for _ in range(3):
        edge.ask(READ)
    same = snapshot(legacy.url, async_.url, endpoints=endpoint("min_requests: 3") + "\nGET /b: {weight: 0}")
    edge.call(lambda: edge.services.apply(same))
    assert edge.ask(READ).body == b"legacy"
    other = snapshot(legacy.url, async_.url, endpoints=endpoint("min_requests: 4"))
    edge.call(lambda: edge.services.apply(other))
    assert edge.ask(READ).status == 500


# one snapshot per request


def test_a_swap_of_the_snapshot_under_load_fails_nothing(stage: Stage) -> None:
    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(answering(ok(b"async")))
    weights = [
        snapshot(
            legacy.url, async_.url, endpoints=f"GET /a: {{weight: {weight}}}", backend=f"connections: {cap}"
        )
        for weight, cap in ((0, 8), (50, 9), (100, 8), (50, 8))
    ]
    edge = stage.edge(legacy.url, async_.url)
    done = threading.Event()

    def client(_: int) -> list[tuple[int, bytes]]:
        answers = []
        with contextlib.closing(edge.connect()) as wire:
            while not done.is_set():
                wire.send(READ)
                response = wire.response()
                answers.append((response.status, response.body))
        return answers

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(client, number) for number in range(8)]
        for swap in range(40):
            chosen = weights[swap % len(weights)]
            before = edge.call(lambda: sum(edge.services.counters.requests.values()))
            edge.call(lambda chosen=chosen: edge.services.apply(chosen))  # type: ignore[misc]
            eventually(
                lambda before=before: (
                    edge.call(lambda: sum(edge.services.counters.requests.values())) > before + 10
                ),
                "traffic",
            )
        done.set()
        answers = [answer for future in running for answer in future.result(WAIT)]
    assert {status for status, _ in answers} == {200}
    assert {body for _, body in answers} == {b"legacy", b"async"}


def test_a_request_under_way_keeps_its_snapshot(stage: Stage) -> None:
    received, go = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        go.wait(WAIT)
        wire.send(ok(b"old"))

    old, new = stage.upstream(serve), stage.upstream(answering(ok(b"new")))
    edge = stage.edge(old.url)
    with contextlib.closing(edge.connect()) as client:
        client.send(READ)
        assert received.wait(WAIT)
        edge.call(lambda: edge.services.apply(snapshot(new.url, rest="server: {expose_backend: false}")))
        assert edge.ask(READ).body == b"new"
        go.set()
        response = client.response()
        assert (response.body, response.header("x-served-by")) == (b"old", "legacy")


# who the client is


def forwarded(upstream: Script) -> dict[str, str]:
    """Header fields of the last request that begin with x-forwarded- or are via, forwarded or host."""
    lines = upstream.requests[-1].split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    wanted = [
        (name, value)
        for name, value in fields
        if name.replace("_", "-").startswith(("x-forwarded", "via", "forwarded", "host"))
    ]
    assert len({name for name, _ in wanted}) == len(wanted), "a field is given more than once"
    return dict(wanted)


CLAIMS = (
    b"GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Host: real\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.1.1.1\r\nVia: 1.0 front\r\n"
    b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: gopher\r\n\r\n"
)


def test_what_a_stranger_says_about_itself_is_replaced(stage: Stage) -> None:
    upstream = stage.upstream()
    assert stage.edge(upstream.url).ask(CLAIMS).status == 200
    assert forwarded(upstream) == {
        "host": "h",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "h",
        "via": "1.0 front, 1.1 strangler",
    }


def test_what_a_trusted_proxy_says_is_kept_and_appended_to(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, rest="server: {trusted_proxies: [127.0.0.0/8]}")
    assert edge.ask(CLAIMS).status == 200
    assert forwarded(upstream) == {
        "host": "h",
        "x-forwarded-for": "1.1.1.1, 2.2.2.2, 127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "real",
        "x-forwarded-port": "443",
        "forwarded": "for=1.1.1.1",
        "via": "1.0 front, 1.1 strangler",
    }


def test_without_claims_a_trusted_proxy_is_a_client_like_any_other(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, rest="server: {trusted_proxies: [127.0.0.1/32]}")
    edge.ask(READ)
    assert forwarded(upstream)["x-forwarded-for"] == "127.0.0.1"


def test_a_backend_with_a_host_of_its_own_gets_it(stage: Stage) -> None:
    upstream = stage.upstream()
    stage.edge(upstream.url, backend="host: internal.example").ask(READ)
    assert forwarded(upstream)["host"] == "internal.example"
    assert forwarded(upstream)["x-forwarded-host"] == "h"


# figures


def test_figures_are_totals_with_bounded_labels(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = stage.edge(upstream.url, endpoints="GET /x/{id}: {weight: 0}")
    for number in range(10):
        edge.ask(b"GET /x/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        edge.ask(b"GET /other/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
    edge.ask(b"garbage\r\n")
    stats = edge.stats()
    assert {(row.endpoint, row.backend, row.reason, row.status): row.count for row in stats.requests} == {
        ("GET /x/{id}", "legacy", "weight", 200): 10,
        ("unlisted", "legacy", "unlisted", 200): 10,
        ("unlisted", "proxy", "refused", 400): 1,
    }
    assert {(row.endpoint, sum(row.counts)) for row in stats.latencies} == {
        ("GET /x/{id}", 10),
        ("unlisted", 10),
    }
    assert all(row.total > 0 for row in stats.latencies)
    assert [(row.first, row.second, row.count) for row in stats.proxy_errors] == [
        ("client", "bad_request_line", 1)
    ]
