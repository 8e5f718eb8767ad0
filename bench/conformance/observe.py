"""Puts one case to one proxy and tells what the client and the upstream saw."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import time
from dataclasses import dataclass, field

from bench.conformance.case import HOST, Case, get
from bench.conformance.upstream import SENTINEL, Upstream, summary
from bench.conformance.wire import counted, statuses

PATIENCE = 15.0  # seconds without a byte after which a proxy is said to hang
PAUSE = 0.05  # seconds
HANGS = b"HTTP/1.1 999 it hangs\r\n\r\n"
_numbers = itertools.count()
_method = re.compile(rb"(?m)^([A-Z]+) [^\r\n]* HTTP/1\.[01]\r$")


@dataclass(frozen=True)
class Seen:
    """`client` as in `Case.shows`; `upstream` has one line a request.

    `marks` are the pieces of `there` that did not come, and those of `gone` that did.
    """

    client: str
    upstream: tuple[str, ...]
    marks: tuple[str, ...] = ()
    requests: tuple[bytes, ...] = field(default=(), compare=False)  # as they came

    def text(self) -> str:
        """As in the table; requests that did not come through say nothing of the upstream."""
        if not self.upstream:
            return self.client
        return f"{self.client} ← {'; '.join(self.upstream)}" + "".join(f"; {mark}" for mark in self.marks)


def observe(case: Case, port: int, upstream: Upstream) -> Seen:
    """Raises OSError if the proxy does not answer a plain request behind the case."""
    upstream.take()
    upstream.answers = case.answers
    came = _converse(case, port)
    _ask_sentinel(port)
    received = upstream.take()
    methods = [method.decode() for method in _method.findall(b"".join(case.pieces))]
    client = counted(statuses(came, methods)) if came else "closed"
    marks = _marks(case, b"".join(received))
    return Seen(client, tuple(summary(received)), marks, tuple(received))


def _converse(case: Case, port: int) -> bytes:
    """All that comes back until the proxy closes, which it does soon: its timeouts are short."""
    came = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock,
        contextlib.suppress(OSError),
    ):
        for number, piece in enumerate(case.pieces):
            if number:
                came += sock.recv(65536)
            sock.sendall(piece + (case.behind if number + 1 == len(case.pieces) else b""))
        if case.half_close:
            if case.half_close == "later":
                time.sleep(PAUSE)  # what the proxy passes on at once is on its way by then
            sock.shutdown(socket.SHUT_WR)
        try:
            while data := sock.recv(65536):
                came += data
        except TimeoutError:
            return came + HANGS
    return came


def _ask_sentinel(port: int) -> None:
    """A plain request: all that went out before it has arrived when it is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.sendall(get(HOST + b"Connection: close\r\n", SENTINEL + b"%d" % next(_numbers)))
        answer = sock.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"a plain request behind the case was answered {answer[:80]!r}")


def _marks(case: Case, received: bytes) -> tuple[str, ...]:
    if not received:
        return ()
    lowered = received.lower()
    missing = [f"without {_shown(piece)}" for piece in case.there if piece not in lowered]
    return (*missing, *(f"with {_shown(piece)}" for piece in case.gone if piece in lowered))


def _shown(piece: bytes) -> str:
    return "`" + piece.strip().decode("latin-1") + "`"
