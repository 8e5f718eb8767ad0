"""Who makes room at the cap of client connections, and who does not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tests.edge.conftest import Stage
from tests.edge.exchange.test_exchange import READ, errors
from tests.edge.harness import WAIT, Edge, Wire, eventually, ok

CAP = 3


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.crowd.GRACE", 0.0)


@pytest.fixture
def guests() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def site(stage: Stage, url: str = "", more: str = "") -> Edge:
    return stage.edge(url or stage.upstream().url, rest=f"server: {{limits: {{connections: {CAP}}}{more}}}")


def enter(edge: Edge, guests: contextlib.ExitStack, data: bytes = b"") -> Wire:
    wire = guests.enter_context(contextlib.closing(edge.connect()))
    if data:
        wire.send(data)
    return wire


def count(edge: Edge) -> int:
    return edge.call(lambda: len(edge.services.clients.items))


def fill(edge: Edge, guests: contextlib.ExitStack, data: bytes = b"", upto: int = CAP) -> list[Wire]:
    found = []
    for number in range(count(edge), upto):
        found.append(enter(edge, guests, data))
        eventually(lambda number=number: count(edge) == number + 1, "it is in")  # type: ignore[misc]
    return found


def is_open(wire: Wire) -> bool:
    wire.sock.setblocking(False)
    try:
        return bool(wire.sock.recv(1))
    except BlockingIOError:
        return True
    finally:
        wire.sock.settimeout(WAIT)


def ask(wire: Wire) -> int:
    wire.send(READ)
    return wire.response().status


@pytest.mark.parametrize("data", [b"", b"GET /a HT", b"\r\n"], ids=["silent", "half a head", "an empty line"])
def test_whoever_has_asked_nothing_makes_room_the_oldest_first(
    stage: Stage, guests: contextlib.ExitStack, data: bytes
) -> None:
    edge = site(stage)
    known = enter(edge, guests)
    assert ask(known) == 200
    first, second = fill(edge, guests, data)
    assert ask(enter(edge, guests)) == 200
    assert first.read_all() == b""
    assert is_open(second)
    assert ask(known) == 200
    assert count(edge) == CAP
    assert errors(edge) == {("client", "made_room"): 1}
    assert edge.stats().full >= 0


def test_a_crowd_of_silent_ones_does_not_keep_anybody_out(stage: Stage, guests: contextlib.ExitStack) -> None:
    edge = site(stage)
    for _ in range(20):
        for _ in range(CAP):
            enter(edge, guests)
        assert ask(enter(edge, guests)) == 200
    assert count(edge) <= CAP


def test_then_the_longest_idle_goes(stage: Stage, guests: contextlib.ExitStack) -> None:
    edge = site(stage)
    wires = fill(edge, guests)
    for wire in (wires[1], wires[2], wires[0]):
        assert ask(wire) == 200
    assert ask(enter(edge, guests)) == 200
    assert wires[1].read_all() == b""
    assert [ask(wires[2]), ask(wires[0])] == [200, 200]


def test_an_exchange_under_way_is_never_ended_for_a_newcomer(
    stage: Stage, guests: contextlib.ExitStack
) -> None:
    go = threading.Event()

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                go.wait(WAIT)
                wire.send(ok())

    upstream = stage.upstream(serve)
    edge = site(stage, upstream.url)
    busy = fill(edge, guests, READ)
    eventually(lambda: len(upstream.requests) == CAP, "all are served")
    newcomer = enter(edge, guests, READ)
    eventually(lambda: edge.call(lambda: not edge.acceptor._watching), "accepting paused")
    go.set()
    assert [wire.response().status for wire in [*busy, newcomer]] == [200] * (CAP + 1)


def test_nobody_goes_before_a_moment_has_passed(
    stage: Stage, guests: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.crowd.GRACE", 60.0)
    edge = site(stage)
    wires = fill(edge, guests)
    assert ask(wires[0]) == 200
    enter(edge, guests, READ)
    eventually(lambda: edge.call(lambda: not edge.acceptor._watching), "accepting paused")
    assert [ask(wire) for wire in wires] == [200] * CAP


def test_the_time_for_a_head_counts_from_the_beginning_of_a_connection(
    stage: Stage, guests: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.services.CLIENT_SWEEP", 0.01)
    edge = site(stage, more=", timeouts: {header: 100ms, keep_alive: 600s}")
    assert enter(edge, guests).read_all() == b""


def test_work_for_a_newcomer_is_bounded(stage: Stage, guests: contextlib.ExitStack) -> None:
    edge = stage.edge(stage.upstream().url, rest="server: {limits: {connections: 40}}")
    wires = fill(edge, guests, upto=40)
    assert {ask(wire) for wire in wires} == {200}
    looks: list[object] = []
    known = edge.services.crowd._known

    def look() -> None:
        client = type(next(iter(known)))
        before = client.idle_since
        client.idle_since = lambda self: looks.append(self) or before(self)  # type: ignore[method-assign,func-returns-value]
        try:
            assert edge.services.crowd.leaver() is not None
        finally:
            client.idle_since = before  # type: ignore[method-assign]

    edge.call(look)
    assert len(looks) == 16
