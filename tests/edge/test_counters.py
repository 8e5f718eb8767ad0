from __future__ import annotations

from proxy.edge.counters import Counters


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
