"""A backend that answers from a table of paths, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Reply(NamedTuple):
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}


class Backend:
    """`replies` by raw target; a function is called for each request."""

    def __init__(self, replies: Mapping[str, Reply | Callable[[], Reply]]) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, raw target, headers in lower case
        self.lines: list[list[tuple[str, str]]] = []  # all header lines of each
        self.bodies: list[bytes] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                target = self.requestline.split(" ")[1]
                fields = {name.lower(): value for name, value in self.headers.items()}
                backend.bodies.append(self.rfile.read(int(fields.get("content-length", "0"))))
                backend.lines.append([(name.lower(), value) for name, value in self.headers.items()])
                backend.requests.append((self.command, target, fields))
                reply = replies.get(target, Reply(b"{}", 404))
                self._send(reply() if callable(reply) else reply)

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def backend(replies: Mapping[str, Reply | Callable[[], Reply]]) -> Iterator[Backend]:
    running = Backend(replies)
    try:
        yield running
    finally:
        running.close()
