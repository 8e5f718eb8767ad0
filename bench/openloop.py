"""Open-loop load: requests start when they are due, whether or not earlier ones were answered.

A latency is counted from the moment a request was due, so that waiting for a free connection, which a
closed loop hides ("coordinated omission"), is part of it. Run as a process of its own, on the load core.

Each request has an `x-nonce`, which the upstream repeats: an answer to another request fails the run.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

PATIENCE = 5.0
"""Seconds after the last due request for which answers are awaited; later ones count as errors."""


@dataclass(slots=True)
class Connection:
    sock: socket.socket
    due: float = 0.0
    nonce: bytes = b""  # of the request under way
    received: bytearray = field(default_factory=bytearray)

    def complete(self) -> bool:
        """Whether a whole response has come in (Content-Length framing only)."""
        head, separator, body = bytes(self.received).partition(b"\r\n\r\n")
        if not separator:
            return False
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return len(body) >= int(value)
        raise SystemExit("openloop: a response without Content-Length")

    def foreign(self) -> bool:
        """Whether the response, which is whole, is a 2xx that does not repeat this request's nonce."""
        head = self.received[: self.received.index(b"\r\n\r\n") + 2]
        return head.startswith(b"HTTP/1.1 2") and self.nonce not in head.lower()


class Generator:
    """`rate` requests per second over `connections` kept-alive connections. `request` ends with its head."""

    def __init__(self, port: int, connections: int, request: bytes) -> None:
        self.head = request.removesuffix(b"\r\n")
        self.epoll = select.epoll()
        self.all: dict[int, Connection] = {}
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.all[sock.fileno()] = Connection(sock)
            self.epoll.register(sock, select.EPOLLIN)
        self.idle = deque(self.all.values())
        self.waiting: deque[float] = deque()
        self.latencies: list[float] = []
        self.errors = 0
        self.sent = 0
        self.foreign = 0

    def run(self, rate: float, seconds: float) -> None:
        start = time.perf_counter()
        planned, sent = int(rate * seconds), 0
        while len(self.latencies) + self.errors < planned:
            now = time.perf_counter()
            if now > start + seconds + PATIENCE:
                break
            while sent < planned and start + sent / rate <= now:
                self.waiting.append(start + sent / rate)
                sent += 1
            while self.waiting and self.idle:
                self._send(self.idle.popleft(), self.waiting.popleft())
            pause = start + sent / rate - now if sent < planned else 0.1
            # epoll_wait counts in milliseconds; select on its descriptor in microseconds.
            if select.select([self.epoll.fileno()], [], [], max(0.0, pause))[0]:
                self._read()
        self.errors = planned - len(self.latencies)

    def _send(self, connection: Connection, due: float) -> None:
        connection.due = due
        connection.received.clear()
        self.sent += 1
        connection.nonce = b"x-nonce: %d\r\n" % self.sent
        try:
            connection.sock.sendall(self.head + connection.nonce + b"\r\n")
        except OSError:
            self._drop(connection)

    def _read(self) -> None:
        for descriptor, _ in self.epoll.poll(0):
            connection = self.all[descriptor]
            try:
                data = connection.sock.recv(262144)
            except OSError:
                data = b""
            if data and not connection.nonce:
                self.foreign += 1  # nothing was asked
            if not data or not connection.nonce:
                self._drop(connection)
                continue
            connection.received += data
            if connection.complete():
                self.foreign += connection.foreign()
                ok = connection.received.startswith(b"HTTP/1.1 2")
                if ok:
                    self.latencies.append(time.perf_counter() - connection.due)
                else:
                    self.errors += 1
                connection.nonce = b""
                self.idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        """A closed connection is an error; it is not opened again."""
        self.errors += 1
        self.epoll.unregister(connection.sock)
        del self.all[connection.sock.fileno()]
        connection.sock.close()
        if not self.all:
            raise SystemExit("openloop: every connection was closed")


def figures(latencies: list[float], errors: int) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(latencies) or [float("nan")]
    last = len(ordered) - 1
    return {
        "p50 ms": ordered[round(last * 0.5)] * 1e3,
        "p99 ms": ordered[round(last * 0.99)] * 1e3,
        "p99.9 ms": ordered[round(last * 0.999)] * 1e3,
        "errors": errors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    request = (
        f"GET /resource7/1 HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\nx-user-id: user-1\r\n"
        "authorization: Bearer key-0123456789abcdef\r\naccept: application/json\r\n\r\n"
    )
    generator = Generator(options.port, options.connections, request.encode())
    generator.run(options.rate, options.seconds)
    if generator.foreign:
        raise SystemExit(f"openloop: {generator.foreign} answers were not those to the requests before them")
    json.dump(figures(generator.latencies, generator.errors), sys.stdout)


if __name__ == "__main__":
    main()
