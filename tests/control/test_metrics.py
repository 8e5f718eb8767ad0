from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from proxy.control.alarms import Alarms
from proxy.control.metrics import BUCKETS, NEAR
from proxy.control.state import State
from proxy.core.evidence.stats import BOUNDS
from proxy.core.settings import BACKENDS, BackendName
from proxy.core.traffic.failing import Tallied
from proxy.core.traffic.totals import EMPTY, Course, Fared, Keyed
from proxy.core.wire.messages import AddressSeen, Latency, Requests
from tests.control.admin import planted
from tests.control.conftest import traffic
from tests.control.test_alarms import DEAD, SILENT

DESIGNED = {
    "strangler_requests_total": {"endpoint", "backend", "reason", "code"},
    "strangler_request_duration_seconds_bucket": {"endpoint", "backend", "le"},
    "strangler_intended_total": {"endpoint", "backend", "outcome"},
    "strangler_backend_failing": {"backend"},
    "strangler_breaker_open": {"endpoint"},
    "strangler_endpoint_failing": {"endpoint", "backend"},
    "strangler_store_failing": set(),
    "strangler_parity": {"endpoint", "verdict"},
    "strangler_async_worse": {"endpoint", "figure"},
    "strangler_proxy_errors_total": {"source", "kind"},
    "strangler_retries_total": {"endpoint", "why"},
    "strangler_outcome_unknown_total": {"endpoint"},
    "strangler_dropped_total": {"what", "reason"},
    "strangler_client_connections": set(),
    "strangler_endpoint_weight": {"endpoint"},
    "strangler_config_info": {"hash"},
    "strangler_build_info": {"version", "data_path"},
    "strangler_config_reload_failures_total": set(),
}

NAME = "GET /a/{id}"

Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(client: TestClient) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize("name", DESIGNED)
def test_every_metric_has_its_labels(client: TestClient, state: State, name: str) -> None:
    traffic(state)
    both_sides(state, failed=0)
    look(state)
    found = samples(client)
    assert {frozenset(labels) for labels, _ in found[name]} == {frozenset(DESIGNED[name])}


def look(state: State) -> None:
    asyncio.run(state.verdicts.current())


def both_sides(state: State, failed: int) -> None:
    """1,000 requests of one endpoint on each backend, `failed` of them on async."""
    requests = [
        Requests(NAME, "legacy", "weight", 200, 1000),
        Requests(NAME, "async", "weight", 200, 1000 - failed),
        Requests(NAME, "async", "weight", 500, failed),
    ]
    counts = [0] * (len(BOUNDS) + 1)
    counts[20] = 1000
    latencies = [Latency(NAME, backend, counts, 1.0) for backend in BACKENDS]
    state.collector.joined("two-sides", fresh=True)
    state.collector.record(
        "two-sides", msgspec.structs.replace(EMPTY, requests=requests, latencies=latencies)
    )


@pytest.mark.parametrize(("failed", "worse"), [(0, 0.0), (300, 1.0)])
def test_async_is_worse_only_where_that_is_proven(
    client: TestClient, state: State, failed: int, worse: float
) -> None:
    assert "strangler_async_worse" not in samples(client)
    both_sides(state, failed)
    found = {labels["figure"]: value for labels, value in samples(client)["strangler_async_worse"]}
    assert found == {"error_rate": worse, "p50": 0.0, "p95": 0.0}  # 1,000 are too few for a p99


def test_what_comparisons_say_is_one_of_the_verdicts(client: TestClient, state: State) -> None:
    snapshot = state.reloader.running.snapshot
    planted.plant(snapshot.server.state, [planted.differing(planted.scope_of(snapshot, NAME))])
    look(state)
    found = samples(client)["strangler_parity"]
    said = {(labels["endpoint"], labels["verdict"]): value for labels, value in found}
    assert said[NAME, "differs"] == 1.0
    assert said["POST /b", "no evidence"] == 1.0
    assert sum(said.values()) == 2
    assert len(said) == 8


def test_counts_are_those_of_the_workers(client: TestClient, state: State) -> None:
    traffic(state)
    found = samples(client)
    assert sum(value for _, value in found["strangler_requests_total"]) == 103
    assert sorted(
        (labels["backend"], labels["outcome"], value) for labels, value in found["strangler_intended_total"]
    ) == [("async", "aborted", 1), ("async", "error", 1), ("async", "ok", 98)]
    opened = {labels["endpoint"]: value for labels, value in found["strangler_breaker_open"]}
    assert opened == {"async": 0, "GET /a/{id}": 1}  # a write has none
    assert ({"endpoint": "POST /b"}, 6.0) in found["strangler_outcome_unknown_total"]
    assert ({"endpoint": "GET /a/{id}"}, 12.5) in found["strangler_endpoint_weight"]
    assert found["strangler_client_connections"] == [({}, 4.0)]


def test_labels_with_quotes_and_line_ends_survive(client: TestClient, state: State) -> None:
    traffic(state)
    assert samples(client)["strangler_dropped_total"] == [({"what": "tee", "reason": 'full "queue"\n'}, 7.0)]


def test_histogram_buckets_are_cumulative_and_end_with_everything(client: TestClient, state: State) -> None:
    traffic(state)
    found = samples(client)
    buckets = [(labels["le"], value) for labels, value in found["strangler_request_duration_seconds_bucket"]]
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1] == ("+Inf", 100.0)
    assert found["strangler_request_duration_seconds_count"][0][1] == 100.0
    assert found["strangler_request_duration_seconds_sum"][0][1] == 12.5
    at = dict(buckets)
    below_half_a_millisecond = next(label for index, label in BUCKETS if index >= 20)
    assert at[below_half_a_millisecond] == 90.0


def test_bucket_bounds_are_exact_and_near_the_usual_ones() -> None:
    for (index, label), usual in zip(BUCKETS, NEAR, strict=True):
        assert float(label) == pytest.approx(BOUNDS[index], rel=1e-3)
        assert float(label) == pytest.approx(usual, rel=0.06)


def test_openmetrics_is_given_to_those_who_ask(client: TestClient, state: State) -> None:
    traffic(state)
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(answer.text)} >= {"strangler_requests"}


def test_every_metric_is_documented(client: TestClient, state: State) -> None:
    traffic(state)
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    families = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert families
    assert not {name for name in families if f"`{name}" not in text}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("line", [DEAD, SILENT], ids=["fails", "hangs"])
def test_a_backend_fails_exactly_while_there_is_an_alarm_for_it(
    client: TestClient, state: State, backend: BackendName, line: AddressSeen
) -> None:
    state.collector.joined("w", fresh=True)
    for bad in (True, False):
        seen = [msgspec.structs.replace(line, backend=backend)] if bad else []
        state.collector.record("w", msgspec.structs.replace(EMPTY, addresses=seen))
        expected = [backend] if bad else []
        assert [alarm.subject for alarm in Alarms(state.collector.totals).look()] == expected
        values = samples(client)["strangler_backend_failing"]
        assert [labels["backend"] for labels, value in values if value] == expected
        figures = client.get("/api/v1/endpoints").json()["backends"]
        assert [name for name, found in figures.items() if found["failing"]] == expected


def test_an_endpoint_that_fails_and_a_store_that_is_away_are_told(client: TestClient, state: State) -> None:
    fared = Fared({(NAME, "async"): Course(Tallied(60, 52), Tallied(60, 52), 5.0)}, Keyed(1.0, None, 4))
    object.__setattr__(state, "alarms", Alarms(lambda: EMPTY, fared=lambda: fared))
    found = samples(client)
    failing = {
        (each["endpoint"], each["backend"]): value for each, value in found["strangler_endpoint_failing"]
    }
    assert failing[NAME, "async"] == 1
    assert failing[NAME, "legacy"] == failing["unlisted", "legacy"] == 0
    assert found["strangler_store_failing"] == [({}, 1)]
