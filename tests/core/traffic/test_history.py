from __future__ import annotations

import msgspec
import pytest

from proxy.core.evidence.stats import BOUNDS
from proxy.core.traffic import history
from proxy.core.traffic.history import History, Minute
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Latency, Requests, Stats

SERIES = ("GET /a", "async")


def served(count: int, errors: int = 0, endpoint: str = "GET /a") -> Stats:
    counts = [0] * (len(BOUNDS) + 1)
    counts[30] = count
    return msgspec.structs.replace(
        EMPTY,
        requests=[
            Requests(endpoint, "async", "weight", 200, count - errors),
            Requests(endpoint, "async", "weight", 503, errors),
        ],
        latencies=[Latency(endpoint, "async", counts, 1.0)],
    )


def test_each_minute_holds_what_was_counted_in_it() -> None:
    past = History(0.0)
    past.add(60.0, served(10, 1))
    past.add(120.0, served(15, 1))
    first, second = past.minutes(SERIES)[-2:]
    assert (first.requests, first.errors) == (10, 1)
    assert (second.requests, second.errors) == (5, 0)
    assert BOUNDS[29] <= second.p95 <= BOUNDS[30]


def test_minutes_without_news_are_empty_and_an_hour_is_kept() -> None:
    past = History(0.0)
    past.add(60.0, served(10))
    past.add(300.0, served(12))
    assert [each.requests for each in past.minutes(SERIES)[-5:]] == [10, 2, 0, 0, 0]
    assert len(past.minutes(SERIES)) == 59
    past.add(300.0 + 3 * 3600, served(12))
    assert set(past.minutes(SERIES)) == {Minute(0, 0, 0.0)}


def test_it_is_due_once_a_minute() -> None:
    past = History(30.0)
    assert not past.is_due(59.0)
    assert past.is_due(60.0)
    past.add(61.0, EMPTY)
    assert not past.is_due(119.0)


def test_evidence_looks_back_over_the_whole_step() -> None:
    past = History(0.0)
    for minute in range(1, 31):
        past.add(minute * 60.0, served(minute * 100))
    sample = past.recent(served(3000))[SERIES]
    assert (sample.requests, sample.counts[30], past.began(SERIES[0])) == (3000, 3000, 0.0)


def test_a_new_weight_or_version_begins_anew_and_other_endpoints_go_on() -> None:
    past, name = History(0.0), SERIES[0]
    past.step(1.0, served(10), "configuration", {name: (0, "v1"), "GET /other": 5})
    past.step(2.0, served(20), "configuration", {name: (0, "v1"), "GET /other": 50})
    assert past.recent(served(20))[SERIES].requests == 20  # the first key is that of the start
    assert (past.began(name), past.began("GET /other")) == (0.0, 2.0)
    past.step(3.0, served(30), "configuration", {name: (1000, "v1"), "GET /other": 50})
    assert (past.recent(served(34))[SERIES].requests, past.began(name)) == (4, 3.0)
    past.step(4.0, served(40), "comparisons", {name: ("1", "2")})
    assert past.began(name) == 3.0
    past.step(5.0, served(50), "comparisons", {name: ("1", "3")})
    assert (past.recent(served(50))[SERIES].requests, past.began(name)) == (0, 5.0)


def test_after_a_restart_nothing_from_before_is_counted() -> None:
    past = History(0.0)
    past.restart(30.0, served(1000, 5))
    past.add(60.0, served(1010, 5))
    assert past.minutes(SERIES)[-1].requests == 10
    assert past.recent(served(1010, 5))[SERIES].errors == 0


def test_a_series_without_traffic_has_no_minutes() -> None:
    assert History(0.0).minutes(SERIES) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_SERIES", 3)
    past = History(0.0)
    past.add(
        60.0,
        msgspec.structs.replace(
            EMPTY, requests=[Requests(f"GET /{n}", "async", "weight", 200, 1) for n in range(9)]
        ),
    )
    assert sum(bool(past.minutes((f"GET /{n}", "async"))) for n in range(9)) == 3
