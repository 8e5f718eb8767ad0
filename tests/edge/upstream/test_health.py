from __future__ import annotations

import contextlib

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Script, Wire, eventually, ok, snapshot

CHECKED = "health: {path: /health, interval: 50ms}"
READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def patient(stage: Stage, state: dict[str, bytes]) -> Script:
    """An upstream whose answer to the health check is `state["health"]`; everything else it answers 200."""

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                request = wire.request()
                wire.send(state["health"] if b" /health " in request else ok())

    return stage.upstream(serve)


def edge_of(stage: Stage, *urls: str) -> Edge:
    return stage.edge(urls, backend=CHECKED)


def hang(wire: Wire, number: int) -> None:
    wire.read_all()


def healthy(edge: Edge) -> list[bool]:
    return edge.call(lambda: [address.healthy for address in edge.services.pools["legacy"].addresses])


@pytest.mark.parametrize(
    "bad",
    [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"],
    ids=["503", "garbage", "until close"],
)
def test_an_unwell_upstream_gets_no_requests_until_it_is_well(stage: Stage, bad: bytes) -> None:
    state = {"health": bad}
    sick, well = patient(stage, state), stage.upstream()
    edge = edge_of(stage, sick.url, well.url)
    eventually(lambda: healthy(edge) == [False, True])
    before = sum(b"GET /a " in request for request in sick.requests)
    for _ in range(20):
        assert edge.ask(READ).status == 200
    assert sum(b"GET /a " in request for request in sick.requests) == before
    state["health"] = ok()
    eventually(lambda: healthy(edge) == [True, True])


def test_the_last_upstream_is_used_however_unwell(stage: Stage) -> None:
    sick = patient(stage, {"health": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"})
    edge = edge_of(stage, sick.url)
    eventually(lambda: healthy(edge) == [False])
    assert edge.ask(READ).status == 200


def test_one_failed_check_is_not_an_illness(stage: Stage) -> None:
    answers = iter([b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"])

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(next(answers, ok()))

    upstream = stage.upstream(serve)
    edge = edge_of(stage, upstream.url)
    eventually(lambda: len(upstream.requests) >= 2)
    eventually(lambda: edge.call(lambda: edge.services.pools["legacy"].addresses[0].bad_probes == 0))
    assert healthy(edge) == [True]


def test_an_upstream_that_hangs_is_unwell_and_is_asked_one_question_at_a_time(stage: Stage) -> None:
    upstream = stage.upstream(hang)
    edge = edge_of(stage, upstream.url)
    eventually(lambda: healthy(edge) == [False])
    assert edge.call(lambda: edge.services.pools["legacy"].connections) <= 1


def test_checks_stop_when_the_backend_is_replaced(stage: Stage) -> None:
    first, second = stage.upstream(), stage.upstream()
    edge = edge_of(stage, first.url)
    eventually(lambda: first.requests)
    old = edge.call(lambda: edge.services.pools["legacy"])
    edge.call(lambda: edge.services.apply(snapshot(second.url)))
    eventually(lambda: edge.call(lambda: old.connections == 0))
    asked = len(first.requests)
    for _ in range(5):
        assert edge.ask(READ).status == 200
    eventually(lambda: len(second.requests) == 5)
    assert len(first.requests) == asked


def test_a_check_says_who_is_asked_with_the_port(stage: Stage) -> None:
    upstream = patient(stage, {"health": ok()})
    edge_of(stage, upstream.url, "http://127.0.0.1:9")
    head = eventually(lambda: next(iter(upstream.requests), b""))
    assert b"\r\nhost: 127.0.0.1:%d\r\n" % upstream.port in head


def test_a_check_has_the_host_and_headers_that_are_set(stage: Stage) -> None:
    upstream = patient(stage, {"health": ok()})
    more = "host: shop.example, headers: ['Authorization: Bearer x', 'User-Agent: kube-probe']"
    stage.edge(upstream.url, backend=f"health: {{path: /health, interval: 50ms, {more}}}")
    head = eventually(lambda: next(iter(upstream.requests), b""))
    assert b"\r\nhost: shop.example\r\n" in head
    assert b"\r\nauthorization: Bearer x\r\n" in head
    assert head.count(b"user-agent: ") == head.count(b"user-agent: kube-probe") == 1


def test_the_statuses_that_are_set_are_the_good_ones(stage: Stage) -> None:
    state = {"health": b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"}
    asked, other = patient(stage, state), patient(stage, {"health": ok()})
    checked = "health: {path: /health, interval: 50ms, status: [401]}"
    edge = stage.edge((asked.url, other.url), backend=checked)
    eventually(lambda: healthy(edge) == [True, False])
    state["health"] = ok()
    eventually(lambda: healthy(edge) == [False, False])


def test_a_check_of_another_port_judges_the_address(stage: Stage) -> None:
    state = {"health": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"}
    management, serving = patient(stage, state), patient(stage, {"health": ok()})
    checked = f"health: {{path: /health, interval: 50ms, port: {management.port}}}"
    edge = stage.edge(serving.url, backend=checked)
    eventually(lambda: healthy(edge) == [False])
    state["health"] = ok()
    eventually(lambda: healthy(edge) == [True])
    assert edge.ask(READ).status == 200
    assert not any(b" /health " in request for request in serving.requests)
