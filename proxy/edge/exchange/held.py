"""Holds back the answer to a keyed write until the store has it; only then does the client receive it."""

from __future__ import annotations

from typing import Final

from proxy.core.forwarding.hop_by_hop import response_block
from proxy.core.http1.body import hold
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import Record, StoredAnswer
from proxy.core.settings import Backend, BackendName

REPLAYED: Final = b"idempotent-replayed: true\r\n"


class HeldAnswer:
    """Its body up to `limit` bytes and one read more; beyond that it is too large to be stored."""

    __slots__ = ("_limit", "_pieces", "_size", "no_room", "trailers", "whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.no_room = False  # it was not stored for want of room
        self.trailers: Pairs = []
        self.whole = False

    @property
    def too_large(self) -> bool:
        return self._size > self._limit

    def add(self, data: bytes, complete: bool, trailers: Pairs) -> bool:
        """True once: when it is time to tell the store, as the answer is whole or has become too large."""
        told = self.too_large  # this came before the pause of its upstream took effect
        hold(self._pieces, data)
        self._size += len(data)
        self.trailers = trailers
        self.whole = complete
        return not told and (complete or self.too_large)

    def take(self) -> bytes:
        """What is held, which from now on is the caller's."""
        data, self._pieces = b"".join(self._pieces), []
        return data

    def outcome(
        self,
        record: Record,
        response: ResponseHead,
        backend: Backend,
        served_by: BackendName | None,
        now: float,
        room: int | None = None,
    ) -> Record:
        """What the store is to know of the claim `record` after `response`.

        `room` is how many bytes of an answer it takes; None: any.
        """
        verdict = idempotency.after_response(record, response.status, backend)
        if verdict in ("release", "failed"):
            return idempotency.release(record, now, failed=verdict == "failed")
        if verdict in ("unknown", "in_use"):
            return idempotency.lose(record, now)
        answer = self._to_store(response, served_by)
        if room is not None and answer is not None and answer.size > room:
            self.no_room = True
            answer = None
        return idempotency.complete(record, answer, now)

    def _to_store(self, response: ResponseHead, served_by: BackendName | None) -> StoredAnswer | None:
        if self.too_large:
            return None
        head = response_block(response, served_by)
        body = b"".join(self._pieces)
        if response.length < 0:  # it came in chunks, or ended with its connection
            head += b"content-length: %d\r\n" % len(body)
        return StoredAnswer(response.status, head, body)


def replay(answer: StoredAnswer, keep_alive: bool, minor: int) -> bytes:
    """A stored answer on the wire, to a client that speaks HTTP/1.`minor`."""
    connection = b"" if keep_alive else b"connection: close\r\n"
    if keep_alive and minor == 0:
        connection = b"connection: keep-alive\r\n"
    return answer.head + REPLAYED + connection + b"\r\n" + answer.body
