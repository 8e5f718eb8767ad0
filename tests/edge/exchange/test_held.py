from __future__ import annotations

import pytest

from proxy.core.http1.response import parse_response
from proxy.core.resilience.idempotency import Record, StoredAnswer
from proxy.core.settings import Backend, Upstream
from proxy.edge.exchange.held import HeldAnswer, replay

BACKEND = Backend("legacy", (Upstream("http://h", "http", "h", 80),))
STORED = StoredAnswer(201, b"HTTP/1.1 201 Created\r\nx: y\r\n", b"body")


def outcome(held: HeldAnswer, head: bytes) -> Record:
    record = Record("i", "p", "POST /w", "k", "f", "legacy", "sent", "w", "t", 0.0, 0.0, 1.0)
    return held.outcome(record, parse_response(head, "POST"), BACKEND, None, 5.0)


CREATED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_came_in_chunks_is_stored_with_its_length() -> None:
    held = HeldAnswer(limit=10)
    held.add(b"abc", True, [])
    stored = outcome(held, CREATED)
    assert stored.state == "completed"
    assert stored.answer == StoredAnswer(201, b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n", b"abc")


def test_of_what_is_too_large_only_the_fact_is_stored() -> None:
    held = HeldAnswer(limit=2)
    held.add(b"abc", True, [])
    stored = outcome(held, CREATED)
    assert (stored.state, stored.answer) == ("completed", None)


@pytest.mark.parametrize(("status", "state"), [(401, "released"), (500, "unknown")])
def test_what_was_not_executed_is_released_and_what_may_have_been_is_unknown(status: int, state: str) -> None:
    assert outcome(HeldAnswer(limit=2), b"HTTP/1.1 %d No\r\n\r\n" % status).state == state


def test_it_is_time_to_tell_the_store_once_when_the_answer_is_whole() -> None:
    held = HeldAnswer(limit=10)
    assert [held.add(b"abc", False, []), held.add(b"def", True, [])] == [False, True]
    assert (held.take(), held.whole, held.too_large) == (b"abcdef", True, False)
    assert held.take() == b""


def test_it_is_time_once_when_the_answer_becomes_too_large_and_what_still_comes_is_kept() -> None:
    held = HeldAnswer(limit=4)
    assert [held.add(b"abc", False, []), held.add(b"de", False, []), held.add(b"f", True, [])] == [
        False,
        True,
        False,
    ]
    assert held.too_large
    assert held.take() == b"abcdef"


@pytest.mark.parametrize(("keep_alive", "minor", "line"), [
    (True, 1, b""), (False, 1, b"connection: close\r\n"), (False, 0, b"connection: close\r\n"),
    (True, 0, b"connection: keep-alive\r\n"),
])  # fmt: skip
def test_a_replay_says_so_and_what_becomes_of_the_connection(
    keep_alive: bool, minor: int, line: bytes
) -> None:
    assert replay(STORED, keep_alive, minor) == (
        STORED.head + b"idempotent-replayed: true\r\n" + line + b"\r\nbody"
    )
