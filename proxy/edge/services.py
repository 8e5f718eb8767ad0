"""What all connections of one worker share: the snapshot, the pools, the counters, the breakers."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from typing import Final

from proxy.core.forwarding import addresses
from proxy.core.forwarding.forwarded import Network, network
from proxy.core.http1.grammar import Malformed
from proxy.core.resilience.breaker import Breaker
from proxy.core.resilience.retry import Budget
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, BackendName, Endpoint
from proxy.core.wire.messages import AddressSeen, Labelled, Requests, Stats
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.deadlines import Sweeper
from proxy.edge.exchange.exchange import Exchange
from proxy.edge.observe import tee
from proxy.edge.observe.access_log import AccessLog
from proxy.edge.observe.counters import Counters, rows
from proxy.edge.observe.tee import Tee
from proxy.edge.observe.tracing import Tracer
from proxy.edge.upstream.pool import NEVER_YET, Pool
from proxy.edge.writes import Writes

log = logging.getLogger("strangler.worker")

UPSTREAM_SWEEP = 0.1  # seconds; the precision of backend timeouts. Not Final: tests shorten it
CLIENT_SWEEP = 0.5

UNLISTED: Final = "unlisted"
LOUD: Final = 10  # violations of a kind that get a line each; then every thousandth


class Services:
    """Mutable state of one worker. Everything here is touched from the event loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        incarnation: str = "",
        *,
        ownership_off: bool = False,
        samples: str = "",
        tracer: Tracer | None = None,
    ) -> None:
        """`samples` is the path of the comparer's socket; "": nothing is compared."""
        self.loop = loop
        self.tracer = tracer
        incarnation = incarnation or os.urandom(8).hex()
        self.writes = Writes(loop, snapshot.server.state, incarnation, ownership_off=ownership_off)
        self.snapshot = snapshot
        self.draining = False  # answers end their connections
        self.patient = False  # draining, but an idle connection may ask once more
        self.random = random.random
        self.counters = Counters()
        self.clients = Sweeper(loop, CLIENT_SWEEP)
        self.upstreams = Sweeper(loop, UPSTREAM_SWEEP)
        self.pools: dict[BackendName, Pool] = {
            name: Pool(snapshot.backend(name), loop, self.upstreams) for name in BACKENDS
        }
        self.trusted: tuple[Network, ...] = _networks(snapshot)
        self.access_log = _access_log(snapshot)
        self._samples = samples
        self.tee: Tee | None = None
        self._set_tee()
        self._breakers: dict[str, Breaker] = {}
        self._breaker = Breaker(snapshot.breaker)  # of async as a whole
        self._budget = Budget(snapshot.retries, loop.time())
        self._observed = 0
        self._request_prefix = os.urandom(8).hex()
        self._request_number = 0

    def apply(self, snapshot: Snapshot) -> None:
        """Serve `snapshot` from the next request on; requests under way keep theirs."""
        previous, self.snapshot = self.snapshot, snapshot
        for name in BACKENDS:
            if snapshot.backend(name) != previous.backend(name):
                self.pools[name].retire()
                self.pools[name] = Pool(snapshot.backend(name), self.loop, self.upstreams)
                if name == ASYNC:
                    self._breaker = Breaker(snapshot.breaker)  # what failed is no longer asked
        self.trusted = _networks(snapshot)
        if snapshot.server.access_log != previous.server.access_log:
            self.close_access_log()
            self.access_log = _access_log(snapshot)
        self._set_tee()
        if snapshot.retries != previous.retries:
            self._budget = Budget(snapshot.retries, self.loop.time(), self._observed)
        if snapshot.breaker != self._breaker.settings:
            self._breaker = Breaker(snapshot.breaker)
        if self._breakers:
            kept = {endpoint.name: endpoint.breaker for endpoint in snapshot.endpoints}
            self._breakers = {
                name: breaker
                for name, breaker in self._breakers.items()
                if kept.get(name) == breaker.settings
            }

    def _set_tee(self) -> None:
        if not self._samples or not tee.wanted(self.snapshot):
            if self.tee is not None:
                self.tee.close()
            self.tee = None
        elif self.tee is None:
            self.tee = Tee(self.loop, self._samples, self.counters.dropped)

    # connections

    def connected(self, client: ClientConnection) -> None:
        self.clients.items.add(client)

    def disconnected(self, client: ClientConnection) -> None:
        self.clients.items.discard(client)

    # decisions that need state

    def must_fall_back(self, endpoint: Endpoint) -> bool:
        """Whether a breaker keeps this request, meant for async, from it."""
        if not endpoint.safe or endpoint.fallback != LEGACY:
            return False
        whole = self._breaker
        breaker = self._breakers.get(endpoint.name)
        if whole.state == "closed" and (breaker is None or breaker.state == "closed"):
            return False
        now, random = self.loop.time(), self.random()  # the same for both, or two ramps would be one squared
        if not whole.allows(now, random):
            return True
        return breaker is not None and not breaker.allows(now, random)

    def record_answer(self, endpoint: Endpoint | None, status: int) -> None:
        """Async answered. What counts are safe requests of listed endpoints.

        A 5xx speaks against the endpoint, but shows that the backend is there.
        """
        if endpoint is not None and endpoint.safe:
            now = self.loop.time()
            self._breaker.record(False, now)
            self._endpoint_breaker(endpoint).record(status >= 500, now)

    def record_failure(self, endpoint: Endpoint | None) -> None:
        """Async could not be reached, or did not answer this."""
        if endpoint is not None and endpoint.safe:
            now = self.loop.time()
            self._breaker.record(True, now)
            self._endpoint_breaker(endpoint).record(True, now)

    def _endpoint_breaker(self, endpoint: Endpoint) -> Breaker:
        breaker = self._breakers.get(endpoint.name)
        if breaker is None:
            breaker = self._breakers[endpoint.name] = Breaker(endpoint.breaker)
        return breaker

    def _open_breakers(self, now: float) -> list[Labelled]:
        """Those that are not closed; that of the whole backend has the backend's name."""
        found = [(ASYNC, self._breaker), *self._breakers.items()]
        return [
            Labelled(name, breaker.state, round(breaker.seconds_left(now)))
            for name, breaker in found
            if breaker.state != "closed"
        ]

    def _addresses(self, now: float) -> list[AddressSeen]:
        unanswered = {name: pool.unanswered(now - addresses.SILENCE) for name, pool in self.pools.items()}
        return [
            AddressSeen(
                name,
                address.upstream.url,
                address.failures,
                address.healthy,
                _ago(now, address.failed_at),
                _ago(now, address.answered_at),
                unanswered[name][address],
                _ago(now, max(address.answered_at, address.heard_at)),
            )
            for name, pool in self.pools.items()
            for address in pool.addresses
        ]

    def withdraw_retry(self) -> bool:
        return self._budget.withdraw(self.loop.time(), self._observed)

    def request_id(self) -> bytes:
        self._request_number += 1
        return b"%s-%x" % (self._request_prefix.encode(), self._request_number)

    # observation

    def observe(self, exchange: Exchange) -> None:
        """The one place where a request's outcome is counted."""
        endpoint = exchange.endpoint
        self._observed += 1
        if endpoint is None:
            self.counters.count_unlisted(exchange.method, exchange.head.target, exchange.backend)
        seconds = time.perf_counter() - exchange.started
        if exchange.trace is not None:
            exchange.trace.end(exchange)
        if self.access_log is not None:
            self.access_log.exchange(exchange, seconds)
        name = UNLISTED if endpoint is None else endpoint.name
        self.counters.observe(name, exchange.backend, exchange.reason, exchange.status, seconds)
        if exchange.answer is None and (not exchange.asked or 200 <= exchange.status < 500):
            self.counters.own[name, exchange.backend, exchange.reason, exchange.status] += 1
        if self.tee is not None and endpoint is not None:
            self.tee.offer(exchange, endpoint)

    def observe_refusal(self, reason: str, error: Malformed) -> None:
        """A request that was answered here, before any backend was chosen."""
        self.counters.refused(UNLISTED, reason, error.status)
        self.counters.errors["client", error.kind] += 1
        if self.access_log is not None:
            self.access_log.refusal(reason, error.status)

    def close_access_log(self, *, wait: bool = False) -> None:
        """Lets its thread write what waits and end; `wait` for it, a few seconds at most."""
        if self.access_log is not None:
            self.access_log.close()
            if wait:
                self.access_log.join()

    def count_error(self, source: str, kind: str) -> None:
        self.counters.errors[source, kind] += 1

    def count_retry(self, endpoint: Endpoint | None, why: str) -> None:
        self.counters.retries[UNLISTED if endpoint is None else endpoint.name, why] += 1

    def count_unknown(self, endpoint: Endpoint | None) -> None:
        self.counters.unknown[UNLISTED if endpoint is None else endpoint.name, ""] += 1

    def count_keyed(self, endpoint: Endpoint, result: str) -> None:
        self.counters.keyed[endpoint.name, result] += 1

    def violated(self, what: str, where: str) -> None:
        """A rule that holds by construction did not: whoever calls ends the connection concerned."""
        self.counters.violations[what, ""] += 1
        count = self.counters.violations[what, ""]
        if count <= LOUD or count % 1000 == 0:
            log.critical("fault in the proxy, please report it: %s (number %d) at %s", what, count, where)

    def _count_dropped_lines(self) -> None:
        log = self.access_log
        if log is not None and log.dropped:
            dropped, log.dropped = log.dropped, 0
            self.counters.dropped["access_log", "not written"] += dropped

    def stats(self, *, partial: bool = False) -> Stats:
        """What this worker counted; `partial` leaves out the series that are as they were in the last one."""
        now = self.loop.time()
        self._count_dropped_lines()
        return Stats(
            connections=len(self.clients.items),
            requests=self.counters.request_rows(changed=partial),
            latencies=self.counters.latency_rows(changed=partial),
            proxy_errors=rows(self.counters.errors),
            retries=rows(self.counters.retries),
            outcome_unknown=rows(self.counters.unknown),
            dropped=rows(self.counters.dropped),
            breakers=self._open_breakers(now),
            keyed=rows(self.counters.keyed),
            partial=partial,
            unlisted=rows(self.counters.unlisted.counts()),
            tasks=len(asyncio.all_tasks(self.loop)),
            violations=rows(self.counters.violations),
            own=[Requests(*labels, count) for labels, count in self.counters.own.items()],
            addresses=self._addresses(now),
        )


def _ago(now: float, then: float) -> float:
    """Seconds; -1 for never, which JSON can say."""
    return -1.0 if then == NEVER_YET else round(max(0.0, now - then), 3)


def _access_log(snapshot: Snapshot) -> AccessLog | None:
    path = snapshot.server.access_log
    return None if path is None else AccessLog(path)


def _networks(snapshot: Snapshot) -> tuple[Network, ...]:
    return tuple(map(network, snapshot.server.trusted_proxies))
