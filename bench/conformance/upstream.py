"""An upstream that keeps every byte that comes, and answers as the case at hand wants it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

from bench.conformance.case import OK, Answers
from bench.conformance.wire import Head, take_head

LONG = 40  # characters of a request line that are shown
SENTINEL = b"/sentinel-"
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # SO_LINGER on, for 0 s
LAST = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
IDLE = 10.0  # seconds after which a connection that says nothing is left


class Upstream:
    """Listens on `port`; `answers` holds for the requests of one case, sentinels always get 200."""

    def __init__(self) -> None:
        self.answers = Answers()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._received: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self) -> list[bytes]:
        """Every request that came, or began to come, since the last call."""
        with self._lock:
            received, self._received = self._received, []
        return [bytes(data) for data in received if SENTINEL not in data]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        buffer, count = b"", 0
        sock.settimeout(IDLE)
        with contextlib.suppress(OSError), contextlib.closing(sock):
            while True:
                request, buffer = self._read_request(sock, buffer)
                count += 1
                if not self._answer(sock, request, count):
                    return

    def _read_request(self, sock: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
        """A whole request and what is behind it; raises OSError when the peer leaves.

        What has come of it is kept as it comes, for it may never be whole.
        """
        kept = bytearray()
        asked = False
        while True:
            if buffer and not kept:
                with self._lock:
                    self._received.append(kept)
            kept[:] = buffer
            head = take_head(buffer)
            if head is not None and (size := head.whole(buffer)) is not None:
                kept[:] = buffer[:size]
                return buffer[:size], buffer[size:]
            if head is not None and not asked and b"100-continue" in buffer[: head.size].lower():
                asked = True
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            data = sock.recv(65536)
            if not data:
                raise OSError("closed")
            buffer += data

    def _answer(self, sock: socket.socket, request: bytes, count: int) -> bool:
        """Whether the connection goes on."""
        answers = self.answers
        if SENTINEL in request:  # its connection is not kept: the next case begins without one
            sock.sendall(LAST)
            return False
        if answers.first and count == 1:
            sock.sendall(OK)
            return True
        sock.sendall(answers.data)
        if answers.then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return answers.then == "keep"


def summary(requests: list[bytes]) -> list[str]:
    """Each request in few words: `POST /p, 2 bytes`."""
    found = []
    for data in requests:
        head = take_head(data)
        if head is None:
            found.append(f"{len(data)} bytes that are no request")
            continue
        line = re.sub(rb" HTTP/1\.1$", b"", head.line).decode("latin-1")
        line = line if len(line) <= LONG else line[:LONG] + "…"
        found.append(line + _sized(head, head.body(data)))
    return found


def _sized(head: Head, body: bytes | None) -> str:
    if body is None:
        return ", cut off in its body"
    return f", {len(body)} bytes" if head.framed else ""
