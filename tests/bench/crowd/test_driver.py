"""Users in a process of their own, against the stub."""

from __future__ import annotations

import contextlib
import math
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.crowd.driver import Crowd, Window
from bench.hundredk.stub import answer
from bench.processes import BenchError, free_port, spawn, wait_for_port


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory, number = tmp_path_factory.mktemp("stub"), free_port()
    child = spawn(
        "stub", [sys.executable, "-m", "bench.hundredk.stub", f"--port={number}"], directory, frozenset({0})
    )
    wait_for_port(child, number)
    yield number
    child.stop()


def test_users_come_ask_and_go(port: int, tmp_path: Path) -> None:
    crowd = Crowd(port, 2, ["--think=0.05"], tmp_path)
    try:
        assert crowd.users(41) == 41
        window = crowd.measure(0.5)
        assert window.users == 41
        assert window.answered > 41
        assert not window.errors
        assert 0 < window.percentile(0.5) <= window.percentile(0.99) < math.inf
        assert crowd.users(3) == 3
        assert crowd.measure(0.1).users == 3
        assert crowd.users(0) == 0
    finally:
        crowd.stop()


def test_an_answer_that_is_not_the_users_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        crowd = Crowd(listener.getsockname()[1], 1, ["--think=0.01", "--even"], tmp_path)
        try:
            crowd.users(1)
            with listener.accept()[0] as client:
                answers = threading.Thread(
                    target=_always, args=(client, answer(b"GET /accounts/99 HTTP/1.1", b""))
                )
                answers.start()
                window = crowd.measure(0.3)
                crowd.stop()
                answers.join()
        finally:
            crowd.stop()
    assert window.errors["foreign answer"] > 0
    assert not window.latencies


def _always(client: socket.socket, same: bytes) -> None:
    with contextlib.suppress(OSError):
        while client.recv(65536):
            client.sendall(same)


def test_a_connection_that_is_closed_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        crowd = Crowd(listener.getsockname()[1], 1, ["--think=60"], tmp_path)
        try:
            crowd.users(1)
            closed = threading.Timer(0.4, listener.accept()[0].close)
            closed.start()
            window = crowd.measure(2)
            closed.join()
        finally:
            crowd.stop()
    assert window.errors == Counter({"connection closed while idle": 1})
    assert window.lost == 1


def test_nobody_listening_is_told(tmp_path: Path) -> None:
    crowd = Crowd(free_port(), 1, [], tmp_path)
    try:
        with pytest.raises(BenchError, match=r"2 of 2 users could not connect: .*ECONNREFUSED"):
            crowd.users(2)
    finally:
        crowd.stop()


def test_windows_add_up_and_percentiles_can_leave_out_the_waits() -> None:
    one = Window(1, {"a": [10.0, 20.0]}, {"a": [900.0]}, Counter(a=1), 1.0, 10, 5, 0)
    both = one.after(Window(1, {"b": [120.0]}, {}, Counter(), 2.0, 5, 6, 1))
    assert (both.seconds, both.users, both.answered, both.failed, both.lag_ms, both.lost) == (
        2,
        6,
        3,
        1,
        2.0,
        1,
    )
    assert both.per_second == 1.5
    assert both.error_rate == 0.25
    assert both.percentile(1) == 120, "what waited in the middle has been answered, or waits at the end"
    assert both.percentile(1, lambda kind: 100 if kind == "b" else 0) == 20
    assert math.isnan(Window().percentile(0.5))


def test_requests_that_still_wait_count_in_percentiles_but_not_as_answered() -> None:
    side = Window(1, {"a": [10.0]}, {"a": [900.0]})
    both = side.beside(Window(1, {"a": [20.0]}, {"b": [1000.0]}))
    assert (both.answered, both.percentile(0.5), both.percentile(1)) == (2, 20, 1000)
