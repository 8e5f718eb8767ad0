from __future__ import annotations

import msgspec
import pytest

from proxy.core.evidence.stats import BOUNDS
from proxy.core.traffic.failing import Tallied
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


# how requests fare


SERIES = ("GET /a", "async")


def fared(**counts: int) -> Stats:
    """Totals of GET /a on async: by "ok", "error", "saved", "diverted", "aborted", "left" and "early"."""
    aborted = sum(counts.get(what, 0) for what in ("aborted", "left", "early"))
    leaving = {what: [Requests(*SERIES, "weight", 0, counts.get(what, 0))] for what in ("left", "early")}
    return msgspec.structs.replace(
        EMPTY,
        requests=[
            Requests(*SERIES, "weight", 200, counts.get("ok", 0)),
            Requests(*SERIES, "weight", 503, counts.get("error", 0)),
            Requests("GET /a", "legacy", "fallback", 200, counts.get("saved", 0)),
            Requests("GET /a", "legacy", "breaker", 200, counts.get("diverted", 0)),
            Requests(*SERIES, "weight", 0, aborted),
        ],
        **leaving,
    )


def test_what_happened_to_requests_is_told_apart() -> None:
    window = Window(now=100.0)
    window.add(101.0, fared(ok=5), fared(ok=15, error=3, saved=4, diverted=6, aborted=7, left=20, early=2))
    course = window.courses(103.0)[SERIES]
    assert course.short == course.long == Tallied(32, 14, 4, 6, 2)
    assert course.lasting == 2.0


def test_a_course_is_short_and_long_and_forgets() -> None:
    window = Window(now=100.0)
    window.add(101.0, EMPTY, fared(error=3))
    window.add(130.0, fared(error=3), fared(error=5, ok=10))
    course = window.courses(131.0)[SERIES]
    assert (course.short, course.long, course.lasting) == (Tallied(12, 2), Tallied(15, 5), 30.0)
    assert window.courses(150.0)[SERIES].short == Tallied()
    assert window.courses(191.0) == {}


def test_series_without_trouble_have_no_course() -> None:
    window = Window(now=100.0)
    window.add(101.0, EMPTY, fared(ok=100, left=50))
    assert window.courses(102.0) == {}
    window.add(105.0, EMPTY, fared(diverted=7))
    assert window.courses(110.0)[SERIES].lasting == 0.0


def test_keyed_writes_that_were_refused_for_want_of_the_store_are_told_from_those_that_it_knew() -> None:
    def totals(refused: int, **results: int) -> Stats:
        return msgspec.structs.replace(
            EMPTY,
            proxy_errors=[Labelled("proxy", "store_unavailable", refused), Labelled("client", "timeout", 9)],
            keyed=[Labelled("POST /w", result, count) for result, count in results.items()],
        )

    window = Window(now=100.0)
    assert window.keyed(100.0) == (None, None, 0)
    window.add(101.0, EMPTY, totals(0, completed=1, missing=3))
    window.add(105.0, totals(0, completed=1, missing=3), totals(4, completed=1, missing=9, unavailable=4))
    assert window.keyed(107.0) == (2.0, 6.0, 4)
    window.add(
        120.0, totals(4, completed=1, unavailable=4), totals(4, completed=1, unavailable=4, would_replayed=1)
    )
    assert window.keyed(121.0) == (16.0, 1.0, 0)
    assert window.keyed(200.0) == (None, None, 0)


def test_why_the_store_does_not_answer_is_kept() -> None:
    locked = msgspec.structs.replace(EMPTY, store="database is locked")
    assert merge([EMPTY, locked]).store == "database is locked"
