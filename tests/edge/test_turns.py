"""What is told of changes of state, and that states can be seen."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.edge import turns
from proxy.edge.client import states as client
from proxy.edge.exchange import states as exchange
from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, eventually, ok, snapshot

READ = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = b"POST /a HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="strangler.states"):
        yield caplog


def said(caplog: pytest.LogCaptureFixture, of: str) -> list[str]:
    """The states that one kind of object went through."""
    lines = [each.getMessage() for each in caplog.records if each.name == "strangler.states"]
    found = [re.fullmatch(rf"<{of} .*?: (\w+).*> -> (\w+)", line) for line in lines]
    return [f"{match[1]} -> {match[2]}" for match in found if match]


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (client.STATES, client.TRANSITIONS),
        (exchange.STATES, exchange.TRANSITIONS),
        (exchange.KEY_STATES, exchange.KEY_TRANSITIONS),
    ],
    ids=["client", "exchange", "keyed write"],
)
def test_each_state_has_a_name_and_a_way_to_the_end(names: tuple[str, ...], table: turns.Table) -> None:
    assert len(names) == len(table)
    end = len(names) - 1
    assert table[end] == frozenset()
    assert all(end in follows for follows in table[:end])


def test_a_change_that_the_table_lacks_is_an_error(debug: pytest.LogCaptureFixture) -> None:
    turns.tell("x", client.STATES, client.TRANSITIONS, client.CLOSED, client.IDLE)
    (record,) = debug.records
    assert record.levelno == logging.ERROR
    assert "'x' -> idle is no transition" in record.getMessage()


def test_a_read_is_told_state_by_state(stage: Stage, debug: pytest.LogCaptureFixture) -> None:
    edge = stage.edge(stage.upstream().url)
    wire = edge.connect()
    wire.send(READ)
    assert wire.response().status == 200
    wire.close()
    eventually(lambda: edge.stats().connections == 0, "the client has gone")
    assert said(debug, "Exchange") == [
        "idle -> waiting",
        "waiting -> sent",
        "sent -> answered",
        "answered -> ended",
    ]
    assert said(debug, "ClientConnection") == ["idle -> answering", "answering -> idle", "idle -> closed"]


def test_a_write_with_a_key_is_told_state_by_state(
    stage: Stage, tmp_path: Path, debug: pytest.LogCaptureFixture
) -> None:
    upstream = stage.upstream()
    rest = f"server: {{state: 'sqlite:///{tmp_path}/state.db'}}"
    edge = Edge(snapshot(upstream.url, endpoints="POST /a: {weight: 0}", rest=rest))
    stage._parts.append(edge)
    assert edge.ask(WRITE).status == 200
    asyncio.run_coroutine_threadsafe(edge.services.writes.close(), edge._loop).result(WAIT)
    assert said(debug, "KeyedWrite") == [
        "reading -> claiming",
        "claiming -> owned",
        "owned -> storing",
        "storing -> relaying",
        "relaying -> released",
    ]


def test_nothing_is_told_by_default(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    edge = stage.edge(stage.upstream().url)
    assert edge.ask(READ).status == 200
    assert not edge.services.debug
    assert [each for each in caplog.records if each.name == "strangler.states"] == []


def test_pools_and_connections_show_their_states(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        seen.append(edge.call(lambda: [repr(pool), *(repr(item) for item in edge.services.upstreams.items)]))
        wire.send(ok(b"x"))
        wire.request()

    seen: list[list[str]] = []
    edge = stage.edge(stage.upstream(serve).url)
    pool = edge.services.pools["legacy"]
    assert edge.ask(READ).status == 200
    ((busy, connection),) = seen
    assert busy == "<Pool legacy: 1 of 256 connections, 0 idle, 0 waiting>"
    assert re.fullmatch(r"<UpstreamConnection to http://[\d.:]+: asked>", connection)
    assert edge.call(lambda: repr(pool)) == "<Pool legacy: 1 of 256 connections, 1 idle, 0 waiting>"
    assert edge.call(lambda: repr(pool.addresses[0].idle[0])).endswith(": idle>")
