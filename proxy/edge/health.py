"""Active health checks: each upstream of a backend is asked for `health.path` every `health.interval`.

Two failures in a row take an upstream out of the choice, one good answer (2xx or 3xx) puts it back. The last
usable one is never taken out: an answer that may fail is better than none.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

from proxy.core.headers import VIA
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.retry import FailureKind
from proxy.edge.deadlines import NEVER
from proxy.edge.upstream import UpstreamConnection

if TYPE_CHECKING:
    from proxy.edge.pool import Address, Pool

log = logging.getLogger("strangler.worker")

FAILURES: Final = 2
JITTER: Final = 0.1  # so that workers do not all ask at once


class HealthCheck:
    """The checks of one pool, from `start` to `stop`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._delay = pool.backend.health.interval
        self._handle = pool.loop.call_later(self._delay * random.random() * JITTER, self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        jitter = 1 + JITTER * (random.random() - 0.5)
        self._handle = self._pool.loop.call_later(self._delay * jitter, self._tick)
        for address in self._pool.addresses:
            if not address.probing:
                address.probing = True
                self._pool.open(address, _Probe(self._pool, address))


class _Probe:
    """One question to one address, on a connection of its own; in place of an exchange."""

    __slots__ = ("_address", "_answered", "_connection", "_pool", "deadline", "response_timeout", "tried")

    method = "GET"
    upgrade: bytes | None = None

    def __init__(self, pool: Pool, address: Address) -> None:
        self._pool = pool
        self._address = address
        self._answered = False
        self._connection: UpstreamConnection | None = None
        self.deadline = NEVER
        self.response_timeout: float | None = pool.backend.health.interval
        self.tried: tuple[Address, ...] = ()

    def wants_connection(self, pool: Pool) -> bool:
        return True

    def on_connection(self, connection: UpstreamConnection) -> None:
        backend = self._pool.backend
        self._connection = connection
        host = backend.host or self._address.upstream.host or "localhost"
        request = (
            f"GET {backend.health.path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: strangler\r\n"
            f"via: {VIA.decode()}\r\nconnection: close\r\n\r\n"
        )
        connection.start(self, request.encode("latin-1"), True)

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        self._conclude(200 <= response.status < 400, f"status {response.status}")
        if not complete and self._connection is not None:
            self._connection.abort()  # the body is of no interest

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        self._conclude(False, detail)

    def on_deadline(self, now: float) -> None:
        """Never set: a probe does not wait for the pool."""

    def on_informational(self, response: ResponseHead) -> None:
        pass

    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None:
        pass

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        pass

    def on_upstream_writable(self, writable: bool) -> None:
        pass

    def give_way(self) -> None:
        """Never asked: a probe has no client that could be slow."""

    def _conclude(self, good: bool, why: str) -> None:
        if self._answered:
            return
        self._answered = True
        address = self._address
        address.probing = False
        address.bad_probes = 0 if good else address.bad_probes + 1
        now = self._pool.loop.time()
        if good:
            address.answered(now)
        else:
            address.failed_at = now
        healthy = address.bad_probes < FAILURES
        if healthy != address.healthy:
            address.healthy = healthy
            what = "is healthy again" if healthy else f"is unhealthy and gets no new requests ({why})"
            log.warning("%s upstream %s %s", self._pool.backend.name, address.upstream.url, what)
