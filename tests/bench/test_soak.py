from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import soak as module
from bench.soak import Soak, leaks, report, slope
from bench.soak_clients import KINDS, Clients
from bench.soak_excuses import ASYNC, LEGACY, WORKER, Disturbance, Failure
from bench.soak_wire import FOREIGN, Wrong, check_nonce


@pytest.fixture
def traffic() -> Clients:
    return Clients(0, 1)


def test_a_short_run_survives_flips_and_kills_and_leaks_nothing() -> None:
    command = [sys.executable, "-m", "bench.soak", "--minutes", "0.25", "--clients", "12", "--seed", "7"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing is wrong" in result.stdout
    assert "leaks: 0 connections, 0 tasks, 0 descriptors" in result.stdout
    assert "foreign answers: 0" in result.stdout
    assert "UNEXPLAINED" not in result.stdout
    for kind in KINDS:
        assert re.search(rf"\b{kind} [1-9]", result.stdout), kind


def test_a_connection_that_stays_open_is_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIESCENCE", 6.0)
    soak = Soak(tmp_path)
    try:
        soak.start()
        until = time.monotonic() + 20
        while sum(worker["tasks"] > 0 for worker in soak.workers()) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        soak.measure_idle()
        with socket.create_connection(("127.0.0.1", soak.ports["data"])):
            found = leaks(soak)
        assert len(found) == 1
        assert "1 connections, 0 tasks, 1 descriptors" in found[0]
    finally:
        soak.stop()


def test_memory_that_grows_beyond_the_bound_is_wrong(tmp_path: Path, traffic: Clients) -> None:
    soak = Soak(tmp_path)
    soak.memory[1] = [(float(second), 50 + second / 60) for second in range(600)]  # 60 MiB/h
    soak.memory[2] = [(float(second), 50.0) for second in range(600)]
    assert slope(soak.memory[1]) == pytest.approx(60)
    assert [line[:12] for line in report(soak, traffic, [], 600)] == ["worker pid 1"]


def test_only_failures_that_no_kill_explains_are_wrong(tmp_path: Path, traffic: Clients) -> None:
    soak = Soak(tmp_path)
    soak.kills.append(Disturbance(LEGACY, 10, 11))
    traffic.failures.append(Failure("read", "status 502", 9, 10.5, 10.6))
    assert report(soak, traffic, [], 1) == []
    traffic.failures.append(Failure("read", "wrong body", 9, 10.5, 10.6))
    assert report(soak, traffic, [], 1) == ["1 times read: wrong body, which no kill explains"]


@pytest.mark.parametrize(
    ("answer", "foreign"),
    [
        (b"HTTP/1.1 200 OK\r\nx-nonce: 12\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nx-nonce: 1\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\nx-nonce: 1\r\n\r\n", True),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", False),
    ],
)
def test_an_answer_to_another_request_is_told(answer: bytes, foreign: bool) -> None:
    fields = b"host: soak.example\r\nx-nonce: 12\r\n"
    with pytest.raises(Wrong, match=FOREIGN) if foreign else contextlib.nullcontext():
        check_nonce(fields, answer.lower())


def test_no_kill_explains_a_foreign_answer(tmp_path: Path, traffic: Clients) -> None:
    soak = Soak(tmp_path)
    soak.kills += [Disturbance(what, 10, 11) for what in (WORKER, LEGACY, ASYNC)]
    traffic.failures.append(Failure("read", FOREIGN, 9, 10.5, 10.6))
    assert report(soak, traffic, [], 1) == ["1 times read: foreign answer, which no kill explains"]


def test_a_leak_is_wrong(tmp_path: Path, traffic: Clients) -> None:
    leaked = ["worker 0: 0 connections, 1 tasks, 0 descriptors"]
    assert report(Soak(tmp_path), traffic, leaked, 1) == [f"leak: {leaked[0]}"]
