"""Keyed writes over real sockets: scripted upstreams, a real SQLite store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.edge.exchange.held import HeldAnswer
from proxy.edge.exchange.keyed_write import KeyedWrite
from proxy.store import claims_file
from tests.edge.conftest import Stage
from tests.edge.harness import Edge, Response, Script, Wire, answering, eventually, ok, snapshot

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\nLocation: /x/1\r\n\r\ndone"


class Bench:
    """An edge with a store, and both backends."""

    def __init__(self, stage: Stage, path: Path) -> None:
        self._stage = stage
        self.state = f"sqlite:///{path}/state.db"
        self.legacy: Script
        self.async_: Script
        self.edge: Edge

    def start(
        self,
        legacy: Callable[[Wire, int], None] | None = None,
        async_: Callable[[Wire, int], None] | None = None,
        *,
        weight: int = 0,
        endpoint: str = "",
        rest: str = "",
        backend: str = "",
        legacy_url: str = "",
        async_url: str = "",
    ) -> None:
        self.legacy = self._stage.upstream(legacy or answering(CREATED))
        self.async_ = self._stage.upstream(async_ or answering(CREATED))
        self._given = {"endpoint": endpoint, "rest": rest, "backend": backend}
        self._urls = (legacy_url or self.legacy.url, async_url or self.async_.url)
        self.edge = Edge(self._snapshot(weight))
        self._stage._parts.append(self.edge)

    def _snapshot(self, weight: int) -> Any:
        given = self._given
        return snapshot(
            *self._urls,
            endpoints=f"POST /x: {{weight: {weight}, force: test{given['endpoint']}}}\nGET /x: {{weight: 0}}",
            rest=f"server: {{state: '{self.state}'}}\n{given['rest']}",
            backend=given["backend"],
        )

    def set_weight(self, weight: int) -> None:
        changed = self._snapshot(weight)
        self.edge.call(lambda: self.edge.services.apply(changed))

    def post(self, key: str = "k", body: bytes = b"pay", headers: str = "") -> Response:
        return self.edge.ask(request(key, body, headers))

    def counted(self, result: str) -> int:
        counters = self.edge.services.counters
        return self.edge.call(lambda: counters.keyed["POST /x", result])

    def claim(self) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(claims_file(self.state))) as connection:
            connection.row_factory = sqlite3.Row
            return dict(connection.execute("SELECT * FROM claims").fetchone())


def created_after(gate: threading.Event) -> Callable[[Wire, int], None]:
    def slow(wire: Wire, number: int) -> None:
        wire.request()
        gate.wait(5)
        wire.send(CREATED)

    return slow


def request(key: str = "k", body: bytes = b"pay", headers: str = "") -> bytes:
    line = f"Idempotency-Key: {key}\r\n" if key else ""
    head = f"POST /x HTTP/1.1\r\nHost: a\r\n{line}{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def resetting(wire: Wire, number: int) -> None:
    wire.request()
    wire.reset()


@contextlib.contextmanager
def closing(bench: Bench) -> Iterator[None]:
    """Closes the store afterwards."""
    try:
        yield
    finally:
        writes = bench.edge.services.writes
        asyncio.run_coroutine_threadsafe(writes.close(), bench.edge._loop).result(10)


@pytest.fixture
def bench(stage: Stage, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(stage, tmp_path)
    with closing(bench):
        yield bench


def problem(response: Response) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(response.body)
    return answer


def test_a_write_is_answered_and_its_retry_gets_the_stored_answer(bench: Bench) -> None:
    bench.start()
    first, second = bench.post(), bench.post('"k"')
    assert (first.status, first.body, first.header("idempotent-replayed")) == (201, b"done", None)
    assert (second.status, second.body, second.header("idempotent-replayed")) == (201, b"done", "true")
    assert second.header("location") == "/x/1"
    assert second.header("x-served-by") == "legacy"
    assert len(bench.legacy.requests) == 1


def test_a_retry_goes_to_the_owner_whatever_the_weight_has_become(bench: Bench) -> None:
    bench.start(answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"))
    assert bench.post().status == 429
    bench.set_weight(100)
    assert bench.post().status == 429
    assert (len(bench.legacy.requests), len(bench.async_.requests)) == (2, 0)
    assert bench.post("other").status == 201
    assert len(bench.async_.requests) == 1
    counters = bench.edge.services.counters
    assert bench.edge.call(lambda: counters.requests["POST /x", "legacy", "owner", 429]) == 1


def test_the_answer_is_stored_before_it_is_relayed(bench: Bench) -> None:
    bench.start()
    assert bench.post().status == 201
    assert bench.claim()["state"] == "completed"


def test_a_second_request_while_the_first_runs_is_refused(bench: Bench) -> None:
    gate = threading.Event()
    bench.start(created_after(gate))
    first = bench.edge.connect()
    first.send(request())
    eventually(lambda: bench.legacy.requests)
    refused = bench.post()
    assert (refused.status, problem(refused)["type"]) == (409, "urn:strangler:idempotency_in_flight")
    gate.set()
    assert first.response("POST").status == 201
    assert len(bench.legacy.requests) == 1


def test_another_body_under_the_same_key_is_refused(bench: Bench) -> None:
    bench.start()
    bench.post(body=b"one")
    assert bench.post(body=b"two").status == 422
    assert len(bench.legacy.requests) == 1


def test_another_principal_has_keys_of_its_own(bench: Bench) -> None:
    bench.start()
    bench.post(headers="Authorization: Bearer one\r\n")
    assert bench.post(headers="Authorization: Bearer two\r\n").header("idempotent-replayed") is None
    assert len(bench.legacy.requests) == 2


def test_a_required_key_that_is_missing_is_refused(bench: Bench) -> None:
    bench.start(endpoint=", idempotency: required")
    refused = bench.post("")
    assert (refused.status, bench.legacy.requests) == (400, [])
    assert bench.counted("missing") == 1


def test_a_key_that_is_none_is_refused(bench: Bench) -> None:
    bench.start()
    assert bench.post('"open').status == 400
    assert bench.legacy.requests == []


def test_without_a_key_nothing_is_stored(bench: Bench) -> None:
    bench.start()
    assert bench.post("").status == 201
    assert not claims_file(bench.state).exists()


def test_off_passes_keys_on(bench: Bench) -> None:
    bench.start(endpoint=", idempotency: 'off'")
    assert [bench.post().status, bench.post(body=b"other").status] == [201, 201]
    assert not claims_file(bench.state).exists()


def test_a_body_over_the_limit_is_refused(bench: Bench) -> None:
    bench.start(rest="idempotency: {max_body: 1KiB}")
    assert bench.post(body=b"x" * 1025).status == 413
    assert bench.post(body=b"x" * 1024).status == 201
    assert len(bench.legacy.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 429])
def test_what_was_not_executed_runs_anew(bench: Bench, status: int) -> None:
    answers = iter([b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status, CREATED])

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                wire.send(next(answers))

    bench.start(serve)
    assert bench.post().status == status
    assert bench.post().status == 201


def test_an_error_of_the_backend_leaves_the_outcome_unknown(bench: Bench) -> None:
    bench.start(answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno"))
    first = bench.post()
    assert (first.status, first.body) == (500, b"no")
    second = bench.post()
    assert (second.status, problem(second)["outcome"]) == (409, "unknown")
    assert len(bench.legacy.requests) == 1
    unknown = bench.edge.services.counters.unknown
    assert bench.edge.call(lambda: unknown["POST /x", ""]) == 1


def test_an_error_of_a_backend_that_dedupes_may_be_tried_again(bench: Bench) -> None:
    answers = iter([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", CREATED])

    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while True:
                wire.request()
                wire.send(next(answers))

    bench.start(serve, backend="idempotent: true")
    assert [bench.post().status, bench.post().status] == [503, 201]


def breaking(wire: Wire, number: int) -> None:
    wire.request()
    wire.reset()


def test_a_reset_after_the_request_leaves_the_outcome_unknown(bench: Bench) -> None:
    bench.start(breaking)
    assert bench.post().status == 502
    assert bench.claim()["state"] == "unknown"
    bench.set_weight(100)
    refused = bench.post()
    assert (refused.status, problem(refused)["outcome"]) == (409, "unknown")
    assert (len(bench.legacy.requests), bench.async_.requests) == (1, [])
    unknown = bench.edge.services.counters.unknown
    assert bench.edge.call(lambda: unknown["POST /x", ""]) == 1


def test_an_unknown_one_is_sent_again_to_an_owner_that_dedupes(bench: Bench) -> None:
    def once(wire: Wire, number: int) -> None:
        wire.request()
        wire.reset() if number == 1 else wire.send(CREATED)

    bench.start(once, backend="idempotent: true")
    assert bench.post().status == 502
    bench.set_weight(100)
    assert bench.post().status == 201
    assert (len(bench.legacy.requests), bench.async_.requests) == (2, [])


def test_a_truncated_answer_is_not_relayed_and_the_outcome_is_unknown(bench: Bench) -> None:
    def truncated(wire: Wire, number: int) -> None:
        wire.request()
        wire.send(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nhalf")

    bench.start(truncated)
    assert bench.post().status == 502
    assert bench.claim()["state"] == "unknown"


def test_what_could_not_be_sent_is_free_again(bench: Bench) -> None:
    bench.start(legacy_url="http://127.0.0.1:9")
    assert bench.post().status == 502
    assert bench.claim()["state"] == "released"


def test_the_fallback_becomes_the_owner_before_it_is_asked(bench: Bench) -> None:
    bench.start(weight=100, endpoint=", fallback: legacy", async_url="http://127.0.0.1:9")
    assert bench.post().status == 201
    claim = bench.claim()
    assert (claim["owner"], claim["state"], len(bench.legacy.requests)) == ("legacy", "completed", 1)


def test_a_released_key_takes_no_fallback(bench: Bench) -> None:
    bench.start(
        async_=answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"),
        weight=100,
        endpoint=", fallback: legacy",
    )
    assert bench.post().status == 429
    bench.async_.close()
    assert bench.post().status == 502
    assert bench.legacy.requests == []


def test_an_answer_too_large_to_store_is_relayed_and_its_retry_says_so(bench: Bench) -> None:
    body = b"x" * 200_000
    bench.start(answering(ok(body)), rest="idempotency: {max_response: 1KiB}")
    assert bench.post().body == body
    refused = bench.post()
    assert (refused.status, problem(refused)["type"]) == (409, "urn:strangler:idempotency_response_too_large")
    assert len(bench.legacy.requests) == 1


def test_an_answer_for_which_the_store_has_no_room_is_relayed_and_its_retry_says_so(bench: Bench) -> None:
    body = b"x" * 2000
    bench.start(answering(ok(body)), rest="idempotency: {max_store: 5000}")
    for number in range(4):
        assert bench.post(f"k{number}").body == body
    for number in (0, 1):
        assert bench.post(f"k{number}").header("idempotent-replayed") == "true"
    for number in (2, 3):
        refused = bench.post(f"k{number}")
        kind = "urn:strangler:idempotency_response_too_large"
        assert (refused.status, problem(refused)["type"]) == (409, kind)
    assert len(bench.legacy.requests) == 4
    assert (bench.counted("completed"), bench.counted("no_room")) == (2, 2)


def test_a_chunked_answer_is_stored_whole(bench: Bench) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    bench.start(answering(chunked))
    assert bench.post().body == b"abcde"
    again = bench.post()
    assert (again.body, again.header("content-length"), again.header("transfer-encoding")) == (
        b"abcde",
        "5",
        None,
    )


def test_a_write_whose_client_leaves_is_finished_and_its_retry_gets_the_answer(bench: Bench) -> None:
    gate = threading.Event()
    bench.start(created_after(gate))
    client = bench.edge.connect()
    client.send(request())
    eventually(lambda: bench.legacy.requests)
    client.reset()
    eventually(lambda: bench.edge.call(lambda: not bench.edge.services.clients.items))
    gate.set()
    eventually(lambda: bench.counted("completed"))
    eventually(lambda: bench.edge.call(lambda: not bench.edge.services.writes.under_way))
    assert bench.post().header("idempotent-replayed") == "true"
    assert len(bench.legacy.requests) == 1


def test_a_store_that_does_not_answer_refuses_keyed_writes_and_nothing_else(bench: Bench) -> None:
    bench.start()
    assert bench.post().status == 201
    with contextlib.closing(sqlite3.connect(claims_file(bench.state), isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        wire = bench.edge.connect()
        wire.send(request("other"))
        assert bench.edge.ask(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").status == 201
        assert bench.post("").status == 201
        refused = wire.response("POST")
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        locker.execute("ROLLBACK")
    assert len(bench.legacy.requests) == 3
    eventually(lambda: bench.post("other").status == 201)


def test_an_answer_that_can_not_be_stored_is_relayed_and_the_key_becomes_unknown(bench: Bench) -> None:
    locks: list[sqlite3.Connection] = []

    def lock(wire: Wire, number: int) -> None:
        wire.request()
        locker = sqlite3.connect(claims_file(bench.state), isolation_level=None, check_same_thread=False)
        locker.execute("BEGIN IMMEDIATE")
        locks.append(locker)
        wire.send(CREATED)

    bench.start(lock)
    assert bench.post().status == 201
    assert bench.counted("unstored") == 1
    locks[0].execute("ROLLBACK")
    locks[0].close()
    eventually(lambda: bench.claim()["state"] == "unknown")
    assert len(bench.legacy.requests) == 1


def test_a_store_that_cannot_be_opened_refuses_keyed_writes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        if self.name == "claims":
            raise RuntimeError("can't start new thread")
        start(self)

    start = threading.Thread.start
    bench.start()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert bench.post().status == 503
    monkeypatch.undo()
    assert bench.post().status == 201


@pytest.mark.interpreted
def test_a_fault_before_the_request_was_sent_ends_the_exchange(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a fault")

    bench.start()
    monkeypatch.setattr(KeyedWrite, "_on_verdict", broken)
    refused = bench.post()
    assert (refused.status, problem(refused)["status"]) == (500, 500)
    assert not bench.edge.call(lambda: bench.edge.services.writes.under_way)
    assert bench.legacy.requests == []
    bench.edge.errors.clear()


@pytest.mark.interpreted
def test_a_fault_after_the_answer_ends_the_exchange_and_the_key_is_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a fault")

    bench.start()
    monkeypatch.setattr(HeldAnswer, "outcome", broken)
    assert bench.post().status == 500
    assert not bench.edge.call(lambda: bench.edge.services.writes.under_way)
    eventually(lambda: bench.claim()["state"] == "unknown")
    bench.edge.errors.clear()


def test_recording_claims_and_changes_nothing(bench: Bench) -> None:
    bench.start(endpoint=", idempotency: record")
    assert [bench.post().status, bench.post().status, bench.post(body=b"other").status] == [201, 201, 201]
    assert bench.post('"open').status == 201
    assert len(bench.legacy.requests) == 4
    assert (bench.claim()["owner"], bench.claim()["state"]) == ("legacy", "completed")
    assert [
        bench.counted("would_replayed"),
        bench.counted("would_mismatch"),
        bench.counted("would_invalid"),
    ] == [1, 1, 1]


def test_recording_sends_what_is_free_again_by_weight_and_not_to_its_owner(bench: Bench) -> None:
    slow_down = answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n")
    bench.start(slow_down, endpoint=", idempotency: record")
    assert bench.post().status == 429
    bench.set_weight(100)
    assert bench.post().status == 201
    assert (len(bench.legacy.requests), len(bench.async_.requests)) == (1, 1)
    assert (bench.claim()["owner"], bench.claim()["state"]) == ("async", "completed")
    counters = bench.edge.services.counters
    assert bench.edge.call(lambda: counters.requests["POST /x", "async", "weight", 201]) == 1


def test_recording_goes_on_without_its_store(bench: Bench, tmp_path: Path) -> None:
    bench.state = "sqlite:////proc/none/state.db"
    bench.start(endpoint=", idempotency: record")
    assert bench.post().status == 201
    assert bench.counted("unavailable") == 1


def test_keys_outlive_the_worker(bench: Bench, stage: Stage) -> None:
    bench.start()
    assert bench.post().status == 201
    other = Edge(bench._snapshot(100))
    stage._parts.append(other)
    assert other.ask(request()).header("idempotent-replayed") == "true"
    assert (len(bench.legacy.requests), bench.async_.requests) == (1, [])


def test_a_kept_connection_serves_replays_and_refusals_in_order(bench: Bench) -> None:
    bench.start()
    wire = bench.edge.connect()
    wire.send(request() + request() + request(body=b"other") + request("new"))
    assert [wire.response("POST").status for _ in range(4)] == [201, 201, 422, 201]


CLOSED = "http://127.0.0.1:9"
TO_ASYNC = {"weight": 100, "endpoint": ", fallback: legacy"}


@pytest.mark.parametrize(
    ("asked", "serve", "given", "state"),
    [
        ("claim", answering(CREATED), {}, "released"),
        ("change", answering(CREATED), {}, "completed"),
        ("change", resetting, {}, "unknown"),
        ("change", answering(CREATED), {**TO_ASYNC, "async_url": CLOSED}, "released"),
    ],
    ids=["claimed", "answered", "failed", "moved"],
)
def test_what_ends_while_the_store_is_asked_stays_over(
    bench: Bench, asked: str, serve: Callable[[Wire, int], None], given: dict[str, Any], state: str
) -> None:
    bench.start(serve, **given)
    edge = bench.edge
    claims = edge.call(edge.services.writes.claims)
    ask, go = getattr(claims, asked), asyncio.Event()

    async def later(subject: Any) -> Any:
        result = await ask(subject)
        waits.set()
        await go.wait()
        return result

    waits = threading.Event()
    edge.call(lambda: setattr(claims, asked, later))
    with contextlib.closing(edge.connect()) as client:
        client.send(request())
        assert waits.wait(10)
        [write] = edge.call(lambda: list(edge.services.writes.under_way))
        edge.call(lambda: write.exchange.refuse(400, "test", "over"))
        assert client.response("POST").status == 400
        sent = len(bench.legacy.requests)
        edge.call(go.set)
        eventually(lambda: edge.call(lambda: not edge.services.writes._tasks))
        eventually(lambda: bench.claim()["state"] == state)
        assert len(bench.legacy.requests) == sent
