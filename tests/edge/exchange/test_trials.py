"""Which requests are trials of a rollout, and how they are judged: an edge with real sockets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.routing.buckets import BUCKETS, Buckets
from proxy.core.wire.messages import UnitReport
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Script, Wire, answering, eventually, ok, snapshot
from tests.support.ports import dead_port
from tests.support.rollouts import in_rollout

SHORT = "timeouts: {connect: 300ms, response: 200ms, idle: 200ms}"
GENERAL = "sticky: {key: [header:x-user-id]}\nretries: {backoff: 1ms, max_backoff: 1ms}"
ALL, NONE = BUCKETS, 0
NOTHING = (0, 0, 0, 0)
FAILING, REFUSED, SLOWER, FINE = (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, 0, 0, 0)

Serve = Callable[[Wire, int], None]


def edge_of(
    stage: Stage, legacy: str, async_: str, weight: int, *, rest: str = "", endpoints: str = "", **given: Any
) -> Edge:
    position = {name: given.pop(name) for name in ("slow", "first") if name in given}
    text = endpoints or "GET /a: {weight: 0}\nPOST /w: {weight: 0}"
    made = snapshot(legacy, async_, endpoints=text, rest=f"{GENERAL}\n{rest}", **given)
    edge = Edge(in_rollout(made, weight, **position))
    stage._parts.append(edge)
    return edge


def get(user: str = "", more: str = "", path: str = "/a") -> bytes:
    key = f"x-user-id: {user}\r\n" if user else ""
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n{key}{more}\r\n".encode()


def post(body: bytes = b"body", more: str = "") -> bytes:
    return f"POST /w HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def told(edge: Edge, endpoint: str = "GET /a") -> UnitReport:
    """As the worker reports it."""
    reports = {each.endpoint: each for each in edge.stats().units}
    return reports[endpoint]


def sides(edge: Edge, endpoint: str = "GET /a") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Counts of requests without a key, of legacy and async."""
    report = told(edge, endpoint)
    return report.legacy, report.async_


def status(number: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % number


def then(act: Callable[[Wire], None]) -> Serve:
    """After each request."""

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                act(wire)

    return serve


def silent(wire: Wire) -> None:
    with contextlib.suppress(EOFError):
        wire.read_until(b"\0never")


def breaking_off(wire: Wire) -> None:
    """In the middle of its body."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
    wire.reset()


def interim_then_ok(wire: Wire) -> None:
    wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok())


CASES: dict[str, tuple[Serve, tuple[int, ...]]] = {
    "answered": (answering(ok()), FINE),
    "interim": (then(interim_then_ok), FINE),
    "4xx": (answering(status(404)), REFUSED),
    "5xx": (answering(status(503)), FAILING),
    "reset": (then(Wire.reset), FAILING),
    "timeout": (then(silent), FAILING),
    "breaks off": (then(breaking_off), FAILING),
    "nonsense": (then(lambda wire: wire.send(b"what?\r\n\r\n")), FAILING),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["legacy", "async"])
@pytest.mark.parametrize("request_", [get(), post()], ids=["read", "write"])
def test_both_sides_are_judged_alike(stage: Stage, case: str, backend: str, request_: bytes) -> None:
    """At the first attempt, though a read then falls back to legacy, or is retried there."""
    serve, expected = CASES[case]
    bad, good = stage.upstream(serve), stage.upstream()
    weight = ALL if backend == "async" else NONE
    urls = (bad.url, good.url) if backend == "legacy" else (good.url, bad.url)
    edge = edge_of(stage, *urls, weight, backend=SHORT)
    with contextlib.closing(edge.connect()) as client:
        client.send(request_)
        with contextlib.suppress(EOFError, ConnectionResetError):
            client.response()
    endpoint = "GET /a" if request_ == get() else "POST /w"
    counts = (expected, NOTHING) if backend == "legacy" else (NOTHING, expected)
    eventually(lambda: sides(edge, endpoint) == counts)


@pytest.mark.parametrize("backend", ["legacy", "async"])
def test_a_refused_connection_is_a_failing_trial(stage: Stage, backend: str) -> None:
    good, weight = stage.upstream(), ALL if backend == "async" else NONE
    urls = (dead_port(), good.url) if backend == "legacy" else (good.url, dead_port())
    edge = edge_of(stage, *urls, weight)
    edge.ask(get())
    assert sides(edge) == ((FAILING, NOTHING) if backend == "legacy" else (NOTHING, FAILING))


@pytest.mark.parametrize("backend", ["legacy", "async"])
def test_a_dead_pooled_connection_is_no_trial_but_the_next_attempt_is(stage: Stage, backend: str) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok())
        if number == 1:
            wire.sock.recv(1)  # of the next request, which is not read
        else:
            silent(wire)

    upstream = stage.upstream(serve)
    edge = edge_of(stage, upstream.url, upstream.url, ALL if backend == "async" else NONE)
    assert [edge.ask(get("ann")).status, edge.ask(get()).status] == [200, 200]
    assert upstream.connections == 2
    assert sides(edge) == ((FINE, NOTHING) if backend == "legacy" else (NOTHING, FINE))
    assert told(edge).failing == b""


def test_a_write_lost_on_a_dead_pooled_connection_is_no_trial(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(ok())
        wire.sock.recv(1)

    upstream = stage.upstream(serve)
    edge = edge_of(stage, upstream.url, upstream.url, NONE)
    assert (edge.ask(get()).status, edge.ask(post()).status) == (200, 502)
    assert sides(edge, "POST /w") == (NOTHING, NOTHING)


def test_requests_that_a_breaker_keeps_from_async_are_no_trials(stage: Stage) -> None:
    legacy, async_ = stage.upstream(), stage.upstream(then(Wire.reset))
    edge = edge_of(stage, legacy.url, async_.url, ALL, rest="breaker: {consecutive: 2}")
    assert [edge.ask(get()).status for _ in range(6)] == [200] * 6
    assert sides(edge) == (NOTHING, (2, 2, 0, 0))
    assert len(legacy.requests) == 6


@pytest.mark.parametrize(("slow", "expected"), [(0.05, SLOWER), (60.0, FINE), (None, FINE)])
def test_the_time_to_the_head_is_judged(stage: Stage, slow: float | None, expected: tuple[int, ...]) -> None:
    go = threading.Event()

    def wait(wire: Wire) -> None:
        go.wait(0.1)  # nobody sets it: the answer is late by that
        wire.send(ok())

    upstream = stage.upstream(then(wait))
    edge = edge_of(stage, upstream.url, upstream.url, ALL, slow=slow)
    assert edge.ask(get()).status == 200
    assert sides(edge) == (NOTHING, expected)


@pytest.mark.parametrize(("slow", "expected"), [(0.0, SLOWER), (60.0, NOTHING), (None, NOTHING)])
def test_a_client_that_leaves_before_the_head_tells_something_only_after_long(
    stage: Stage, slow: float | None, expected: tuple[int, ...]
) -> None:
    received = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        silent(wire)

    edge = edge_of(stage, stage.upstream(serve).url, dead_port(), NONE, slow=slow)
    client = edge.connect()
    client.send(get())
    assert received.wait(WAIT)
    client.reset()
    eventually(lambda: edge.stats().requests)
    assert sides(edge) == (expected, NOTHING)


def test_a_client_that_leaves_after_the_head_changes_nothing(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        silent(wire)

    edge = edge_of(stage, stage.upstream(serve).url, dead_port(), NONE, slow=60.0)
    client = edge.connect()
    client.send(get())
    client.read_until(b"\r\n\r\nx")
    client.reset()
    eventually(lambda: edge.stats().requests)
    assert sides(edge) == (FINE, NOTHING)


def test_own_answers_and_upgrades_are_no_trials(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = edge_of(stage, upstream.url, upstream.url, NONE, rest="server: {limits: {body_bytes: 2}}")
    assert edge.ask(post()).status == 413
    upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n"
    assert edge.ask(get(more=upgrade)).status == 200
    assert (sides(edge), sides(edge, "POST /w")) == ((NOTHING, NOTHING), (NOTHING, NOTHING))


def test_first_keys_are_on_async_and_only_their_version_counts(stage: Stage) -> None:
    async_ = stage.upstream(answering(ok(extra=b"X-Version: 42\r\n")))
    edge = edge_of(stage, stage.upstream().url, async_.url, NONE, first=("ann",))
    assert edge.ask(get("ann")).header("x-served-by") == "async"
    assert edge.ask(get("bob")).header("x-served-by") == "legacy"
    report = told(edge)
    assert report.version == "42"
    assert int.from_bytes(report.active, "little") == 1 << Buckets(b"default", "a").unit(b"bob")


def test_what_legacy_answers_in_asyncs_place_is_neither_a_trial_nor_asyncs_version(stage: Stage) -> None:
    legacy = stage.upstream(answering(b"HTTP/1.1 404 X\r\nX-Version: old\r\nContent-Length: 0\r\n\r\n"))
    edge = edge_of(stage, legacy.url, stage.upstream(then(Wire.reset)).url, ALL)
    assert edge.ask(get()).status == 404
    assert sides(edge) == (NOTHING, FAILING)
    assert told(edge).version == ""


def test_outside_a_rollout_nothing_is_kept(stage: Stage) -> None:
    edge = stage.edge(stage.upstream().url, endpoints="GET /a: {weight: 50}", rest=GENERAL)
    assert edge.ask(get("ann")).status == 200
    assert edge.stats().units == []


def test_a_slow_upload_does_not_make_the_answer_late(stage: Stage) -> None:
    upstream = stage.upstream()
    edge = edge_of(stage, upstream.url, upstream.url, NONE, rest="server: {buffers: {request: 1}}", slow=0.5)
    pause = threading.Event()
    with contextlib.closing(edge.connect()) as client:
        client.send(post(b"x" * 10)[:-1])
        eventually(lambda: upstream.connections)
        pause.wait(0.6)  # longer than an answer may take
        client.send(b"x")
        assert client.response().status == 200
    assert sides(edge, "POST /w") == (FINE, NOTHING)


# keyed writes


class Keyed:
    def __init__(self, stage: Stage, path: Path, serve: Serve, mode: str = "optional") -> None:
        self.async_: Script = stage.upstream(serve)
        endpoints = f"POST /w: {{weight: 0, idempotency: {mode}}}"
        rest = f"server: {{state: 'sqlite:///{path}/state.db'}}"
        self.edge = edge_of(stage, stage.upstream().url, self.async_.url, ALL, rest=rest, endpoints=endpoints)

    def post(self, key: str = "k") -> int:
        return self.edge.ask(post(more=f"Idempotency-Key: {key}\r\n")).status

    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return sides(self.edge, "POST /w")


@pytest.mark.parametrize("mode", ["optional", "record"])
def test_a_keyed_write_is_a_trial_and_its_replay_is_none(stage: Stage, tmp_path: Path, mode: str) -> None:
    keyed = Keyed(stage, tmp_path, answering(ok()), mode)
    assert [keyed.post(), keyed.post()] == [200, 200]
    sent = 1 if mode == "optional" else 2
    assert len(keyed.async_.requests) == sent
    assert keyed.sides() == (NOTHING, (sent, 0, 0, 0))


@pytest.mark.parametrize("case", ["5xx", "4xx", "reset", "breaks off"])
def test_keyed_writes_are_judged_as_others(stage: Stage, tmp_path: Path, case: str) -> None:
    serve, expected = CASES[case]
    keyed = Keyed(stage, tmp_path, serve)
    keyed.post()
    assert keyed.sides() == (NOTHING, expected)


def test_a_write_that_belongs_to_the_owner_of_its_key_is_no_trial(stage: Stage, tmp_path: Path) -> None:
    """429 frees the key, so the same write is sent again, to where it belongs."""
    keyed = Keyed(stage, tmp_path, answering(status(429)))
    assert [keyed.post(), keyed.post()] == [429, 429]
    assert len(keyed.async_.requests) == 2
    assert keyed.sides() == (NOTHING, REFUSED)


def test_waiting_for_the_claim_of_another_is_no_trial(stage: Stage, tmp_path: Path) -> None:
    received, go = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        received.set()
        go.wait(WAIT)
        wire.send(ok())

    keyed = Keyed(stage, tmp_path, serve)
    with contextlib.closing(keyed.edge.connect()) as client:
        client.send(post(more="Idempotency-Key: k\r\n"))
        assert received.wait(WAIT)
        assert keyed.post() == 409
        go.set()
        assert client.response().status == 200
    assert keyed.sides() == (NOTHING, FINE)


# sides


@pytest.fixture(scope="module")
def named(module_stage: Stage) -> tuple[Edge, Script, Script]:
    legacy, async_ = module_stage.upstream(), module_stage.upstream()
    return edge_of(module_stage, legacy.url, async_.url, NONE), legacy, async_


@settings(max_examples=30, deadline=None)
@given(st.integers(0, BUCKETS), st.text("abcdef0123456789", min_size=1, max_size=12), st.integers(0, 10**9))
def test_the_side_of_the_bit_is_where_the_request_went(
    named: tuple[Edge, Script, Script], weight: int, user: str, number: int
) -> None:
    edge, _, async_ = named
    before = edge.services.snapshot
    placed = in_rollout(before, weight, epoch=f"{number}.{weight}.{user}")
    edge.call(lambda: edge.services.apply(placed))
    asked = len(async_.requests)
    assert edge.ask(get(user)).status == 200
    bits = int.from_bytes(told(edge).active, "little")
    assert bits.bit_count() == 1
    unit = bits.bit_length() - 1
    assert (unit % BUCKETS < weight) == (len(async_.requests) > asked)
    assert told(edge).failing == b""
