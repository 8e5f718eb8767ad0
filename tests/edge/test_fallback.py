"""Reads whose async backend is dead, however it died: legacy answers every one of them, at any rate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from tests.edge.conftest import Stage
from tests.edge.harness import WAIT, Edge, Wire, answering, ok
from tests.edge.test_exchange import READ, Serve, dead_port, reading_then, silent

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
