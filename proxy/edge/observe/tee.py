"""Sends sampled requests to the comparer after they have ended, so that the client never waits for it.

What does not fit into the socket's buffer, or is too large, is dropped and counted. The comparer may come
and go; while it is away, nothing is kept for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections import Counter
from typing import Final

from proxy import owned
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint
from proxy.core.wire.taps import MAX_TAP, Tap, Write, encode_tap
from proxy.edge.outcome import Outcome

log = logging.getLogger("strangler.worker")

RETRY: Final = 0.2  # seconds between two attempts to connect
MAX_WAITING: Final = 100  # taps of one turn of the event loop


def wanted(snapshot: Snapshot) -> bool:
    """Whether anything is sampled."""
    return any(endpoint.compare.sample > 0 for endpoint in snapshot.endpoints)


class Tee:
    """`dropped` counts by ("samples", reason), as in `Counters.dropped`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, dropped: Counter[tuple[str, str]]) -> None:
        self._loop = loop
        self._path = path
        self._random = random.random
        self._dropped = dropped
        self._untold: Counter[tuple[str, str]] = (
            Counter()
        )  # by endpoint and reason; the comparer adds them up
        self._waiting: list[Tap] = []
        self._socket: socket.socket | None = None
        self._rest = b""  # of a tap that the socket took a part of
        self._not_before = 0.0

    def offer(self, outcome: Outcome, endpoint: Endpoint) -> None:
        """A request that has ended. What is sent goes out in the next turn, after the client's answer."""
        sample = endpoint.compare.sample
        if not sample or self._random() >= sample or outcome.reason == "preflight":
            return
        reason = _refusal(outcome, endpoint)
        if reason is not None:
            self._drop(endpoint.name, reason)
        elif len(self._waiting) >= MAX_WAITING:
            self._drop(endpoint.name, "too many at once")
        else:
            self._waiting.append(_tap(outcome, endpoint))
            if len(self._waiting) == 1:
                self._loop.call_soon(self._send)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tap in waiting:
            reason = self._write(tap)
            if reason is not None:
                self._drop(tap.endpoint, reason)

    def _write(self, tap: Tap) -> str | None:
        """Why not, or None."""
        for (endpoint, reason), number in self._untold.items():
            tap.dropped.append((endpoint, reason, number))
        data = encode_tap(tap)
        if len(data) > MAX_TAP:
            return "too large"
        sock = self._connected()
        if sock is None:
            return "no comparer"
        try:
            if self._rest:
                self._rest = self._rest[sock.send(self._rest) :]
            if self._rest:
                return "comparer busy"
            sent = sock.send(data)
        except BlockingIOError:
            return "comparer busy"
        except OSError:
            self.close()
            return "no comparer"
        self._rest = data[sent:]
        self._untold.clear()
        return None

    def _connected(self) -> socket.socket | None:
        if self._socket is None and self._loop.time() >= self._not_before:
            self._not_before = self._loop.time() + RETRY
            self._rest = b""
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.connect(self._path)  # at once, or not at all
                owned.check_peer(sock, self._path)  # taps hold credentials
            except OSError as error:
                if isinstance(error, owned.NotOurs):
                    log.error("cannot send samples to %s: %s", self._path, error.strerror)
                sock.close()
                return None
            self._socket = sock
        return self._socket

    def _drop(self, endpoint: str, reason: str) -> None:
        self._untold[endpoint, reason] += 1
        self._dropped["samples", reason] += 1


def _refusal(outcome: Outcome, endpoint: Endpoint) -> str | None:
    """Why this request cannot be compared, or None."""
    settings = endpoint.compare
    if not endpoint.safe and settings.read_back is None and not settings.dry_run:
        return "it may change something"
    if outcome.answer is None or outcome.status != outcome.answer.status:
        return "not answered"
    if outcome.upgrade:
        return "upgrade"
    if outcome.body is None and (endpoint.safe or settings.dry_run):
        return "too large"
    return None


def _tap(outcome: Outcome, endpoint: Endpoint) -> Tap:
    head, hop = outcome.head, outcome.hop
    answer = outcome.answer
    write = None
    if answer is not None and not endpoint.safe:
        captured = None if outcome.captured is None else bytes(outcome.captured)
        write = Write(answer.get(b"location") or b"", answer.raw, captured)
    return Tap(
        endpoint=endpoint.name,
        method=head.method,
        target=head.target,
        host=head.host,
        fields=head.fields.raw,
        minor=head.fields.minor,
        peer=hop.peer,
        trusted=hop.trusted,
        backend=outcome.backend,
        status=outcome.status,
        body=b"".join(outcome.body or []),
        write=write,
        dropped=[],
    )
