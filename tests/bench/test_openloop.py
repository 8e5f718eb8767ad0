from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.openloop import Generator, figures, main

SERVICE = 0.02
"""Seconds that the server takes for each request."""


class Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(SERVICE)
        if self.path == "/close":
            self.close_connection = True
            return
        self.send_response(503 if self.path == "/missing" else 200)
        self.send_header("X-Nonce", "7" if self.path == "/foreign" else self.headers["x-nonce"])
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: it\r\n\r\n".encode()


def test_waiting_for_a_busy_connection_is_part_of_the_latency(port: int) -> None:
    generator = Generator(port, 1, request("/"))
    generator.run(rate=100, seconds=0.4)
    # One connection serves at most 50/s: the last of 40 is sent when the 39 before it have been served.
    assert generator.errors == 0
    assert len(generator.latencies) == 40
    assert max(generator.latencies) >= 40 * SERVICE - 0.4
    assert min(generator.latencies) >= SERVICE


def test_answers_other_than_2xx_are_errors(port: int) -> None:
    generator = Generator(port, 2, request("/missing"))
    generator.run(rate=50, seconds=0.2)
    assert (len(generator.latencies), generator.errors) == (0, 10)


def test_answers_to_other_requests_are_counted(port: int) -> None:
    generator = Generator(port, 1, request("/foreign"))
    generator.run(rate=50, seconds=0.2)
    assert generator.sent == 10
    assert generator.foreign == 9  # but for the seventh
    generator = Generator(port, 1, request("/"))
    generator.run(rate=50, seconds=0.2)
    assert generator.foreign == 0


def test_a_run_with_foreign_answers_fails(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "run", lambda self, rate, seconds: setattr(self, "foreign", 2))
    monkeypatch.setattr(sys, "argv", ["openloop", f"--port={port}", "--rate=1", "--connections=1"])
    with pytest.raises(SystemExit, match="2 answers were not those"):
        main()


def test_it_ends_when_every_connection_was_closed(port: int) -> None:
    generator = Generator(port, 2, request("/close"))
    with pytest.raises(SystemExit, match="every connection was closed"):
        generator.run(rate=50, seconds=0.2)


def test_percentiles_are_in_milliseconds() -> None:
    found = figures([number / 1000 for number in range(1, 1002)], errors=3)
    assert found == pytest.approx({"p50 ms": 501, "p99 ms": 991, "p99.9 ms": 1000, "errors": 3})
