"""The yardstick must forward rightly, or comparing with it means nothing."""

from __future__ import annotations

import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.processes import free_port, spawn, wait_for_port


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = f"{self.path} {self.headers['x-user-id']} ".encode() + body
        self.send_response(201)
        self.send_header("content-length", str(len(answer)))
        self.send_header("x-backend-says", "yes")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_forwards_method_target_headers_and_body(upstream: str, tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "bench.naive_proxy:app", "--port", str(port)]
    child = spawn("naive", argv, tmp_path, frozenset(os.sched_getaffinity(0)), {"UPSTREAM": upstream})
    try:
        wait_for_port(child, port)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/a/b?c=d", data=b"body", headers={"x-user-id": "u1"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201
            assert answer.headers["x-backend-says"] == "yes"
            assert answer.read() == b"/a/b?c=d u1 body"
    finally:
        child.stop()
