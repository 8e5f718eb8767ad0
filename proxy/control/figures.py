"""The figures of the running instance as values; `admin/` formats them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.control.claimed import Keys
from proxy.control.reload import LastError
from proxy.control.storage import Stored
from proxy.control.supervisor.roll import Restart
from proxy.core.comparison.parity import Parity
from proxy.core.evidence.significance import MeasuredDifference, SeriesCounts, error_rates, latencies
from proxy.core.forwarding import addresses
from proxy.core.forwarding.addresses import by_backend
from proxy.core.resilience.breaker import State as BreakerState
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, BackendName, Endpoint
from proxy.core.traffic.history import History, Minute
from proxy.core.traffic.intended import SAVED, intended
from proxy.core.traffic.totals import Figures, Series
from proxy.core.wire.messages import AddressSeen, OpenBreaker, Stats
from proxy.datapath import DataPath

Hour = Mapping[BackendName, Sequence[Minute]]
"""One endpoint's last hour by the minute, oldest first; empty if there was no traffic at all."""


class WorkerFigures(NamedTuple):
    """`silence`: seconds since its last report, None while it starts; `silent`: too long."""

    slot: int
    pid: int
    hash: str
    connections: int
    tasks: int
    silence: float | None
    silent: bool


class ConfigFigures(NamedTuple):
    """The configuration in use, the workers that serve it, and the newest file; `data_path`: the build."""

    version: str
    data_path: DataPath
    hash: str
    source: str
    loaded_at: float  # Unix seconds
    generation: int
    workers: tuple[WorkerFigures, ...]
    last_error: LastError | None
    last_difference: tuple[str, ...]
    warnings: tuple[str, ...]
    restart: Restart | None


class Served(NamedTuple):
    """One endpoint on one backend: requests since the proxy counts, and the last minute."""

    requests: int
    minute: Figures


class Contrast(NamedTuple):
    """Async minus legacy, of one endpoint, since its weight or a version changed `seconds` ago.

    Requests are counted, not users: those are not told apart in these figures.
    """

    error_rate: MeasuredDifference
    p50: MeasuredDifference
    p95: MeasuredDifference
    p99: MeasuredDifference
    seconds: float

    def measured(self) -> tuple[tuple[str, MeasuredDifference], ...]:
        """Those of which enough is known for a verdict, by name."""
        figures = zip(self._fields, self, strict=True)
        return tuple(
            (name, each)
            for name, each in figures
            if isinstance(each, MeasuredDifference) and each.verdict != "too little data"
        )


class EndpointFigures(NamedTuple):
    """`fallbacks`: requests that legacy answered instead of async. `keys` is None if none are claimed.

    The endpoint's weight is the one in force; `rollout` is where it stands if a plan moves it.
    """

    endpoint: Endpoint
    breaker: BreakerState
    fallbacks: int
    backends: Mapping[BackendName, Served]
    contrast: Contrast
    parity: Parity
    keys: Keys | None
    rollout: RolloutPosition | None = None


class UnlistedFigures(NamedTuple):
    policy: str
    backends: Mapping[BackendName, Served]


class BackendFigures(NamedTuple):
    """Whether a backend answers, its overall breaker, and its addresses."""

    failing: bool
    breaker: BreakerState
    addresses: tuple[AddressSeen, ...]


class Overview(NamedTuple):
    """All endpoints and both backends at one moment, `now` in Unix seconds."""

    now: float
    endpoints: tuple[EndpointFigures, ...]
    unlisted: UnlistedFigures
    backends: Mapping[BackendName, BackendFigures]
    storage: Stored | None


class Counted:
    """The workers' totals by series: which backend should have answered, and for which legacy did."""

    def __init__(
        self, totals: Stats, minute: Mapping[Series, Figures], recent: Mapping[Series, SeriesCounts]
    ):
        self._requests: Counter[Series] = Counter()
        self._minute = minute
        self._recent = recent
        self._breakers = {breaker.name: breaker for breaker in totals.breakers}
        self.fallbacks: Counter[str] = Counter()  # by endpoint
        for line in intended(totals):
            self._requests[line.endpoint, line.backend] += line.requests
            if line.reason in SAVED:
                self.fallbacks[line.endpoint] += line.requests

    def backends(self, name: str) -> dict[BackendName, Served]:
        return {
            backend: Served(self._requests[name, backend], self._minute.get((name, backend), Figures()))
            for backend in BACKENDS
        }

    def contrast(self, name: str, seconds: float) -> Contrast:
        legacy, async_ = (self._recent.get((name, backend), SeriesCounts()) for backend in (LEGACY, ASYNC))
        p50, p95, p99 = (latencies(legacy, async_, q) for q in (0.5, 0.95, 0.99))
        return Contrast(error_rates(legacy, async_), p50, p95, p99, seconds)

    def breaker(self, endpoint: Endpoint) -> BreakerState:
        """The worse of its own and, if that concerns it, of async as a whole."""
        diverted = endpoint.safe and endpoint.fallback is not None and endpoint.weight
        found = [self._breakers.get(endpoint.name), self._breakers.get(ASYNC) if diverted else None]
        states = {_state(breaker) for breaker in found}
        return "open" if "open" in states else "ramping" if "ramping" in states else "closed"


def wait(difference: MeasuredDifference, backends: Mapping[BackendName, Served]) -> float | None:
    """Seconds until there are enough requests, at the rate of the last minute; None if none come."""
    longest = 0.0
    for backend, missing in zip(BACKENDS, difference.missing, strict=True):
        rate = backends[backend].minute.requests_per_second
        if missing and not rate:
            return None
        longest = max(longest, missing / rate if missing else 0.0)
    return longest


def reachable(totals: Stats) -> dict[BackendName, BackendFigures]:
    seen, bad = by_backend(totals.addresses), addresses.unanswering(totals.addresses)
    breakers = {breaker.name: breaker for breaker in totals.breakers}
    return {
        backend: BackendFigures(backend in bad, _state(breakers.get(backend)), tuple(seen.get(backend, ())))
        for backend in BACKENDS
    }


def last_hour(name: str, history: History) -> Hour:
    return {backend: history.minutes((name, backend)) for backend in BACKENDS}


def _state(breaker: OpenBreaker | None) -> BreakerState:
    """Workers report what is not closed."""
    return "closed" if breaker is None else "open" if breaker.state == "open" else "ramping"
