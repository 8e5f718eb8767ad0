"""Active health checks: requests `health.path` from each upstream of a backend every `health.interval`.

After two failures in a row an upstream is no longer used; one good answer (2xx or 3xx, or one of
`health.status`) restores it. The last usable upstream is always used, because an answer that may fail is
better than none.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from typing import Final

from proxy.core.forwarding.hop_by_hop import VIA
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import FailureKind
from proxy.core.settings import Backend, Upstream
from proxy.edge.ports import Receiver, UpstreamPort
from proxy.edge.upstream.address import Address
from proxy.edge.upstream.home import Home

log = logging.getLogger("strangler.worker")

FAILURES: Final = 2
_PORTS: Final = {"http": 80, "https": 443}
JITTER: Final = 0.1  # so that workers do not all ask at once


class HealthCheck:
    """The checks of one pool, from `start` to `stop`."""

    def __init__(self, pool: Home) -> None:
        self._pool = pool
        self._delay = pool.backend.health.interval
        port = pool.backend.health.port
        self._targets = [(each, _target(each, port)) for each in pool.addresses]
        self._handle = pool.loop.call_later(self._delay * random.random() * JITTER, self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        jitter = 1 + JITTER * (random.random() - 0.5)
        self._handle = self._pool.loop.call_later(self._delay * jitter, self._tick)
        for address, target in self._targets:
            if not address.probing:
                address.probing = True
                self._pool.open(target, _Probe(self._pool, address))


def _target(address: Address, port: int) -> Address:
    """Where the check of `address` connects to: what fails there says nothing yet of requests."""
    upstream = address.upstream
    if not port or upstream.scheme == "unix":
        return address
    return Address(dataclasses.replace(upstream, port=port))


def request_of(backend: Backend, upstream: Upstream) -> bytes:
    """The question to one address."""
    health = backend.health
    host = health.host or backend.host or _authority(upstream, health.port or upstream.port)
    lines = [f"host: {host}", *health.headers, f"via: {VIA.decode()}", "connection: close"]
    if not any(line.startswith("user-agent:") for line in health.headers):
        lines.append("user-agent: strangler")
    return "\r\n".join((f"GET {health.path} HTTP/1.1", *lines, "", "")).encode()


def _authority(upstream: Upstream, port: int) -> str:
    """With the port unless it is the scheme's own (RFC 9110 section 7.2)."""
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host or "localhost"
    return host if port in (0, _PORTS.get(upstream.scheme)) else f"{host}:{port}"


class _Probe(Receiver):
    """One question to one address, on a connection of its own; in place of an exchange."""

    __slots__ = ("_address", "_answered", "_connection", "_pool")

    def __init__(self, pool: Home, address: Address) -> None:
        super().__init__("GET")
        self._pool = pool
        self._address = address
        self._answered = False
        self._connection: UpstreamPort | None = None
        self.response_timeout = pool.backend.health.interval

    def wants_connection(self, pool: object) -> bool:
        return True

    def on_connection(self, connection: UpstreamPort) -> None:
        self._connection = connection
        connection.start(self, request_of(self._pool.backend, self._address.upstream), True)

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        status, wanted = response.status, self._pool.backend.health.status
        good = status in wanted if wanted else 200 <= status < 400
        self._conclude(good, f"status {status}")
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
            what = "is healthy again" if healthy else f"is unhealthy and receives no new requests ({why})"
            log.warning("%s upstream %s %s", self._pool.backend.name, address.upstream.url, what)
