from __future__ import annotations

from proxy.core.evidence.stats import BOUNDS, quantile
from proxy.core.routing.unlisted import OTHER
from proxy.core.wire.messages import Labelled, Requests
from proxy.edge.observe.counters import Counters, rows


def test_only_changed_series_are_reported_and_still_as_totals() -> None:
    counters = Counters()
    counters.observe("GET /a", "async", "weight", 200, 0.01)
    counters.observe("GET /b", "async", "weight", 200, 0.01)
    assert len(counters.request_rows(changed=False)) == len(counters.latency_rows(changed=False)) == 2
    counters.observe("GET /b", "async", "weight", 200, 0.02)
    (row,) = counters.request_rows(changed=True)
    (latency,) = counters.latency_rows(changed=True)
    assert (row.endpoint, row.count) == ("GET /b", 2)
    assert (latency.endpoint, sum(latency.counts)) == ("GET /b", 2)
    assert counters.request_rows(changed=True) == []
    assert counters.latency_rows(changed=True) == []


def test_all_series_are_reported_again_when_asked() -> None:
    counters = Counters()
    counters.observe("GET /a", "async", "weight", 200, 0.01)
    counters.request_rows(changed=True)
    counters.latency_rows(changed=True)
    assert len(counters.request_rows(changed=False)) == len(counters.latency_rows(changed=False)) == 1


def test_requests_with_the_same_labels_add_up() -> None:
    counters = Counters()
    for status in (200, 200, 404):
        counters.observe("GET /a", "legacy", "weight", status, 0.01)
    counters.observe("GET /a", "async", "weight", 200, 0.01)
    assert sorted(counters.request_rows(changed=False), key=str) == sorted(
        [
            Requests("GET /a", "legacy", "weight", 200, 2),
            Requests("GET /a", "legacy", "weight", 404, 1),
            Requests("GET /a", "async", "weight", 200, 1),
        ],
        key=str,
    )


def test_latencies_are_kept_per_endpoint_and_backend() -> None:
    counters = Counters()
    for seconds in (0.00001, 0.01, 0.01, 1000.0):
        counters.observe("GET /a", "legacy", "weight", 200, seconds)
    counters.observe("GET /a", "async", "weight", 200, 0.5)
    by_backend = {row.backend: row for row in counters.latency_rows(changed=False)}
    legacy = by_backend["legacy"]
    assert (len(legacy.counts), sum(legacy.counts)) == (len(BOUNDS) + 1, 4)
    assert (legacy.counts[0], legacy.counts[-1]) == (1, 1)
    assert round(legacy.total, 5) == 1000.02001
    assert 0.0088 < (quantile(legacy.counts, 0.5) or 0) < 0.0113
    assert by_backend["async"].total == 0.5


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    counters = Counters()
    counters.observe("GET /a", "legacy", "weight", 200, BOUNDS[3])
    assert counters.latency_rows(changed=False)[0].counts[3] == 1


def test_rows_do_not_change_after_they_were_taken() -> None:
    counters = Counters()
    counters.observe("GET /a", "legacy", "weight", 200, 0.01)
    (row,) = counters.latency_rows(changed=False)
    counters.observe("GET /a", "legacy", "weight", 200, 0.01)
    assert sum(row.counts) == 1


def test_labelled_counters_become_rows() -> None:
    counters = Counters()
    counters.errors["client", "x"] += 2
    assert rows(counters.errors) == [Labelled("client", "x", 2)]


def test_unlisted_paths_are_counted_by_shape() -> None:
    counters = Counters()
    for number in range(3):
        counters.count_unlisted("GET", b"/users/%d" % number, "legacy")
    counters.count_unlisted("GET", b"//", "legacy")
    assert counters.unlisted.counts() == {("GET /users/{id}", "legacy"): 3, (OTHER, "legacy"): 1}
