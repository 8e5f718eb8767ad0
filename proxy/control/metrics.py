"""The Prometheus metrics of the whole instance, computed from the workers' totals at each scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector as PrometheusCollector

from proxy import __version__
from proxy.control.rollouts.parts import Rollouts
from proxy.control.state import State
from proxy.control.storage import Storage, Stored
from proxy.control.supervisor.supervisor import Supervisor
from proxy.core.comparison.parity import Verdict
from proxy.core.evidence.stats import BOUNDS
from proxy.core.forwarding import addresses
from proxy.core.rollout.position import State as RolloutState
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import ASYNC, BACKENDS
from proxy.core.traffic import intended
from proxy.core.traffic.totals import Series
from proxy.core.wire.messages import Labelled, Stats
from proxy.datapath import data_path

NEAR: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The usual bucket bounds in seconds. Those published are the nearest of BOUNDS: exact, not estimated."""

STATES: Final[tuple[RolloutState, ...]] = get_args(RolloutState)


def _disk_size(found: Stored) -> int | None:
    return None if found.disk is None else found.disk.total


def _disk_free(found: Stored) -> int | None:
    return None if found.disk is None else found.disk.free


STORAGE: Final[tuple[tuple[str, str, Callable[[Stored], int | None]], ...]] = (
    ("strangler_stored_answers_bytes", "Answers to keyed writes in the store", lambda found: found.size),
    ("strangler_stored_answers_limit_bytes", "idempotency.max_store; 0: none", lambda found: found.limit),
    ("strangler_state_disk_bytes", "Size of the file system with the state", _disk_size),
    ("strangler_state_disk_free_bytes", "What is free there", _disk_free),
)
"""Metric, its text, its value."""


def _nearest(seconds: float) -> int:
    after = bisect_left(BOUNDS, seconds)
    return min((after - 1, after), key=lambda index: abs(BOUNDS[index] - seconds))


BUCKETS: Final = tuple((_nearest(bound), f"{BOUNDS[_nearest(bound)]:.4g}") for bound in NEAR)
"""(index in BOUNDS, `le` label) of every bucket but the last, `+Inf`."""


def render(state: State, accept: str) -> tuple[bytes, str]:
    """The exposition and its content type: Prometheus text, or OpenMetrics if `accept` asks for it."""
    registry = CollectorRegistry()
    registry.register(_Metrics(state))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


class _Metrics(PrometheusCollector):
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        totals = self._state.collector.totals()
        yield _requests(totals)
        yield _intended(totals)
        yield _durations(totals)
        yield _counter(
            "strangler_proxy_errors", "Answers of the proxy itself", ("source", "kind"), totals.proxy_errors
        )
        yield _counter("strangler_retries", "Requests sent again", ("endpoint", "why"), totals.retries)
        yield _counter(
            "strangler_outcome_unknown",
            "Writes that were sent and never answered",
            ("endpoint",),
            totals.outcome_unknown,
        )
        yield _counter(
            "strangler_keyed_writes", "Requests with an idempotency key", ("endpoint", "result"), totals.keyed
        )
        yield _counter("strangler_dropped", "Work given up by reason", ("what", "reason"), totals.dropped)
        yield _counter(
            "strangler_invariant_violations",
            "Faults of the proxy that were stopped before they reached anybody else",
            ("what",),
            totals.violations,
        )
        comparer = self._state.comparer
        results = () if comparer is None else comparer.results()
        yield _counter("strangler_compare", "Comparisons by result", ("endpoint", "result"), results)
        yield from self._evidence()
        yield _failing(totals)
        yield self._breakers(totals)
        yield from self._alarms()
        connections = GaugeMetricFamily("strangler_client_connections", "Open connections from clients")
        connections.add_metric((), totals.connections)
        yield connections
        yield from _storage(self._state.storage)
        yield _build()
        yield from self._config()
        if self._state.rollouts is not None:
            yield from _rollouts(self._state.rollouts)

    def _evidence(self) -> Iterator[Metric]:
        """Of endpoints that are compared, or that both backends answer; as of the last look."""
        state = self._state
        endpoints = state.reloader.running.snapshot.endpoints
        parity = GaugeMetricFamily(
            "strangler_parity", "1 for what comparisons say", labels=("endpoint", "verdict")
        )
        for endpoint in endpoints:
            if endpoint.compare.sample or endpoint.name in state.verdicts.standings:
                said = state.verdicts.parity(endpoint).verdict
                for verdict in get_args(Verdict):
                    parity.add_metric((endpoint.name, verdict), float(verdict == said))
        yield parity
        worse = GaugeMetricFamily(
            "strangler_async_worse", "1 if async is proven to be worse", labels=("endpoint", "figure")
        )
        for name, contrast in state.contrasts().items():
            for figure, difference in contrast.measured():
                worse.add_metric((name, figure), float(difference.verdict == "worse"))
        yield worse

    def _breakers(self, totals: Stats) -> Metric:
        """Includes every endpoint, so that a series does not end when a breaker closes."""
        family = GaugeMetricFamily(
            "strangler_breaker_open", "1 unless it is closed; async: of all of it", labels=("endpoint",)
        )
        opened = {breaker.name for breaker in totals.breakers}
        names = [ASYNC, *(each.name for each in self._state.reloader.running.snapshot.endpoints if each.safe)]
        for name in names:
            family.add_metric((name,), float(name in opened))
        return family

    def _alarms(self) -> Iterator[Metric]:
        """Includes every endpoint, so that a series does not end when an alarm does."""
        alarms = self._state.alarms
        found: set[Series] = set()
        if alarms is not None:
            alarms.look()
            found = alarms.failing
        family = GaugeMetricFamily(
            "strangler_endpoint_failing", "1 while most requests fail", labels=("endpoint", "backend")
        )
        names = [UNLISTED, *(each.name for each in self._state.reloader.running.snapshot.endpoints)]
        for name in names:
            for backend in BACKENDS:
                family.add_metric((name, backend), float((name, backend) in found))
        yield family
        store = GaugeMetricFamily(
            "strangler_store_failing", "1 while keyed writes are refused for want of the store"
        )
        store.add_metric((), float(alarms is not None and alarms.store_is_out))
        yield store

    def _config(self) -> Iterator[Metric]:
        reloader = self._state.reloader
        snapshot = reloader.effective
        weights = GaugeMetricFamily("strangler_endpoint_weight", "Percent to async", labels=("endpoint",))
        for endpoint in snapshot.endpoints:
            weights.add_metric((endpoint.name,), endpoint.weight / 100)
        yield weights
        info = GaugeMetricFamily("strangler_config_info", "The configuration in force", labels=("hash",))
        info.add_metric((snapshot.hash,), 1)
        yield info
        workers = GaugeMetricFamily(
            "strangler_worker_config_info", "What each worker serves", labels=("worker", "hash")
        )
        for worker in self._state.supervisor.workers():
            workers.add_metric((str(worker.slot), worker.hash), 1)
        yield workers
        yield from _silence(self._state.supervisor)
        failures = CounterMetricFamily("strangler_config_reload_failures", "Configuration files refused")
        failures.add_metric((), reloader.failures)
        yield failures


def _rollouts(rollouts: Rollouts) -> Iterator[Metric]:
    """Every state of an endpoint has a series, 1 for the one that it is in."""
    states = GaugeMetricFamily(
        "strangler_rollout_state", "1 for the state of the rollout", labels=("endpoint", "state")
    )
    values = GaugeMetricFamily(
        "strangler_rollout_e_value",
        "Evidence that async is worse; a rollout comes back when it reaches its threshold",
        labels=("endpoint", "kind"),
    )
    thresholds = GaugeMetricFamily(
        "strangler_rollout_threshold",
        "The evidence at which the rollout comes back",
        labels=("endpoint",),
    )
    for each in rollouts.figures().rollouts:
        for state in STATES:
            states.add_metric((each.position.endpoint, state), float(state == each.position.state))
        for kind, value in each.shown.get("e_values", {}).items():
            if value is not None:
                values.add_metric((each.position.endpoint, kind), value)
        if threshold := each.shown.get("threshold"):
            thresholds.add_metric((each.position.endpoint,), threshold)
    yield states
    yield values
    yield thresholds
    changes = CounterMetricFamily(
        "strangler_rollout_changes", "Changes that this process made", labels=("endpoint", "to", "why")
    )
    for labels, count in rollouts.board.changes.items():
        changes.add_metric(labels, count)
    yield changes


def _build() -> Metric:
    info = GaugeMetricFamily("strangler_build_info", "What runs", labels=("version", "data_path"))
    info.add_metric((__version__, data_path()), 1)
    return info


def _storage(storage: Storage | None) -> Iterator[Metric]:
    """A series has no value if it is unknown, or if the store is not on this machine."""
    found = None if storage is None else storage.figures()
    for name, text, value_of in STORAGE:
        family = GaugeMetricFamily(name, text)
        value = None if found is None else value_of(found)
        if value is not None:
            family.add_metric((), value)
        yield family


def _silence(supervisor: Supervisor) -> Iterator[Metric]:
    """During a rolling restart two workers share a number; the worse value is shown."""
    longest: dict[int, float] = {}
    for worker in supervisor.workers():
        silence = supervisor.pulse.silence(worker)
        if silence is not None:
            longest[worker.slot] = max(silence, longest.get(worker.slot, 0.0))
    seen = GaugeMetricFamily(
        "strangler_worker_last_seen_seconds", "Since a worker's last report", labels=("worker",)
    )
    for slot, silence in longest.items():
        seen.add_metric((str(slot),), round(silence, 3))
    yield seen
    hung = CounterMetricFamily("strangler_workers_hung", "Workers that were killed because they hung")
    hung.add_metric((), supervisor.pulse.hung)
    yield hung


def _requests(totals: Stats) -> Metric:
    family = CounterMetricFamily(
        "strangler_requests",
        "Finished requests; code 0 was aborted",
        labels=("endpoint", "backend", "reason", "code"),
    )
    for line in totals.requests:
        family.add_metric((line.endpoint, line.backend, line.reason, str(line.status)), line.count)
    return family


def _intended(totals: Stats) -> Metric:
    family = CounterMetricFamily(
        "strangler_intended",
        "Finished requests by the backend that was to answer them",
        labels=("endpoint", "backend", "outcome"),
    )
    for labels, count in intended.counts(totals).items():
        family.add_metric(labels, count)
    return family


def _failing(totals: Stats) -> Metric:
    family = GaugeMetricFamily(
        "strangler_backend_failing", "1 while the backend does not answer", labels=("backend",)
    )
    bad = addresses.unanswering(totals.addresses)
    for backend in BACKENDS:
        family.add_metric((backend,), float(backend in bad))
    return family


def _durations(totals: Stats) -> Metric:
    family = HistogramMetricFamily(
        "strangler_request_duration_seconds",
        "From the request's head to the last byte of its response",
        labels=("endpoint", "backend"),
    )
    for line in totals.latencies:
        running = list(accumulate(line.counts))
        buckets = [(label, float(running[index])) for index, label in BUCKETS]
        buckets.append(("+Inf", float(running[-1])))
        family.add_metric((line.endpoint, line.backend), buckets, sum_value=line.total)
    return family


def _counter(name: str, help_text: str, labels: tuple[str, ...], lines: Iterable[Labelled]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for line in lines:
        family.add_metric((line.first, line.second)[: len(labels)], line.count)
    return family
