from __future__ import annotations

import msgspec
import pytest

from proxy.core.evidence.stats import BOUNDS
from proxy.core.traffic.totals import EMPTY, Figures, Window, merge, overlay
from proxy.core.wire.messages import Labelled, Latency, OpenBreaker, Requests, Stats


def latency(bucket: int, count: int, backend: str = "async") -> Latency:
    counts = [0] * (len(BOUNDS) + 1)
    counts[bucket] = count
    return Latency("GET /a", backend, counts, count * BOUNDS[bucket])


def served(count: int, status: int = 200, bucket: int = 30) -> Stats:
    return msgspec.structs.replace(
        EMPTY,
        requests=[Requests("GET /a", "async", "weight", status, count)],
        latencies=[latency(bucket, count)],
    )


def test_merge_adds_equal_labels_and_keeps_others_apart() -> None:
    left = msgspec.structs.replace(
        served(2),
        connections=3,
        dropped=[Labelled("tee", "full", 1)],
        retries=[Labelled("GET /a", "reset", 4)],
    )
    right = msgspec.structs.replace(served(5), connections=4, dropped=[Labelled("tee", "full", 2)])
    both = merge([left, right, served(1, status=500)])
    assert both.connections == 7
    assert {(line.status, line.count) for line in both.requests} == {(200, 7), (500, 1)}
    assert both.dropped == [Labelled("tee", "full", 3)]
    assert both.retries == [Labelled("GET /a", "reset", 4)]
    assert both.latencies == [latency(30, 8)]


def test_merge_keeps_the_breaker_that_stays_open_longest() -> None:
    def breakers(*lines: OpenBreaker) -> Stats:
        return msgspec.structs.replace(EMPTY, breakers=list(lines))

    merged = merge(
        [
            breakers(OpenBreaker("GET /a", "ramping", 9), OpenBreaker("GET /b", "ramping", 1)),
            breakers(OpenBreaker("GET /a", "open", 4)),
            breakers(OpenBreaker("GET /a", "open", 2)),
        ]
    )
    assert merged.breakers == [OpenBreaker("GET /a", "open", 4), OpenBreaker("GET /b", "ramping", 1)]


def test_window_counts_only_what_is_new_since_the_older_totals() -> None:
    window = Window(now=100.0)
    window.add(101.0, served(40), served(60))
    figures = window.figures(110.0)["GET /a", "async"]
    assert figures.requests_per_second == pytest.approx(2.0)
    assert figures.error_rate == 0
    assert figures.p50 is not None
    assert BOUNDS[29] <= figures.p50 <= BOUNDS[30]


@pytest.mark.parametrize(("status", "rate"), [(200, 0), (404, 0), (499, 0), (500, 1), (503, 1), (0, 1)])
def test_error_rate_is_the_share_of_5xx_and_aborted(status: int, rate: float) -> None:
    window = Window(now=0.0)
    window.add(1.0, EMPTY, served(3, status))
    assert window.figures(2.0)["GET /a", "async"].error_rate == rate


def test_window_forgets_after_a_minute() -> None:
    window = Window(now=0.0)
    window.add(10.0, EMPTY, served(5))
    assert window.figures(69.0)["GET /a", "async"].requests_per_second == pytest.approx(5 / 60)
    assert window.figures(70.0) == {}


def test_window_holds_one_slot_per_second_however_often_it_is_fed() -> None:
    window = Window(now=0.0)
    for tick in range(4000):
        window.add(tick * 0.1, served(tick), served(tick + 1))
    assert len(window._slots) == 60
    assert window.figures(399.9)["GET /a", "async"].requests_per_second == pytest.approx(10.0, rel=0.02)


def test_totals_that_went_down_do_not_count_negative() -> None:
    window = Window(now=0.0)
    window.add(1.0, served(9), served(3))
    assert window.figures(2.0) == {}


def test_an_idle_series_has_no_rate_and_no_quantile() -> None:
    assert Figures() == (0.0, None, None, None, None)


def test_a_partial_message_lies_over_what_was_known() -> None:
    known = merge([served(5), served(1, status=500)])
    news = msgspec.structs.replace(served(9, bucket=40), connections=3, partial=True)
    both = overlay(known, news)
    assert {(line.status, line.count) for line in both.requests} == {(200, 9), (500, 1)}
    assert both.latencies == news.latencies
    assert (both.connections, both.partial) == (3, False)
    assert overlay(known, served(7)) == served(7)
