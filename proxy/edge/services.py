"""What all connections of one worker share: the snapshot, the pools, the counters, the breakers."""

from __future__ import annotations

import asyncio
import os
import random

from proxy.core.forwarding.forwarded import Network, network
from proxy.core.resilience.retry import Budget
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import BACKENDS, BackendName
from proxy.edge import turns
from proxy.edge.crowd import Crowd
from proxy.edge.deadlines import Sweeper
from proxy.edge.observe.counters import Counters
from proxy.edge.observe.observers import Observers
from proxy.edge.observe.tracing import Tracer
from proxy.edge.observe.units import WorkerTrials
from proxy.edge.upstream.breakers import Breakers
from proxy.edge.upstream.pool import Pool
from proxy.edge.writes import Writes

UPSTREAM_SWEEP = 0.1  # seconds; the precision of backend timeouts. Not Final: tests shorten it
CLIENT_SWEEP = 0.5


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
        self.snapshot = snapshot
        self.debug = turns.wanted()  # changes of state are told
        self.draining = False  # answers end their connections
        self.patient = False  # draining, but an idle connection may ask once more
        self.random = random.random
        self.trusted: tuple[Network, ...] = _networks(snapshot)
        self.counters = Counters()
        self.trials = WorkerTrials()
        self.trials.apply(snapshot.positions)
        self.observers = Observers(loop, snapshot, self.counters, samples, tracer)
        self.clients = Sweeper(loop, CLIENT_SWEEP)
        self.crowd = Crowd(loop)
        self.upstreams = Sweeper(loop, UPSTREAM_SWEEP)
        self.pools: dict[BackendName, Pool] = {
            name: Pool(snapshot.backend(name), loop, self.upstreams) for name in BACKENDS
        }
        self.breakers = Breakers(loop, snapshot)
        self.budget = Budget(snapshot.retries, loop.time())
        incarnation = incarnation or os.urandom(8).hex()
        self.writes = Writes(loop, snapshot.server.state, incarnation, ownership_off=ownership_off)
        self._request_prefix = os.urandom(8).hex()
        self._request_number = 0

    def apply(self, snapshot: Snapshot) -> None:
        """Serve `snapshot` from the next request on; requests under way keep theirs."""
        previous, self.snapshot = self.snapshot, snapshot
        for name in BACKENDS:
            if snapshot.backend(name) != previous.backend(name):
                self.pools[name].retire()
                self.pools[name] = Pool(snapshot.backend(name), self.loop, self.upstreams)
        self.trusted = _networks(snapshot)
        self.trials.apply(snapshot.positions)
        self.observers.apply(snapshot, previous)
        self.breakers.apply(snapshot, previous)
        if snapshot.retries != previous.retries:
            self.budget = Budget(snapshot.retries, self.loop.time(), self.observers.observed)

    def request_id(self) -> bytes:
        """For a request that came without one."""
        self._request_number += 1
        return b"%s-%x" % (self._request_prefix.encode(), self._request_number)


def _networks(snapshot: Snapshot) -> tuple[Network, ...]:
    return tuple(map(network, snapshot.server.trusted_proxies))
