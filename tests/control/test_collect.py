from __future__ import annotations

import msgspec
import pytest

from proxy.control.collect import REMEMBERED, Collector
from proxy.control.kept_totals import KeptTotals
from proxy.core.traffic.totals import EMPTY, merge
from proxy.core.wire.messages import Latency, Requests, Stats


def served(count: int, connections: int = 0) -> Stats:
    return msgspec.structs.replace(
        EMPTY, connections=connections, requests=[Requests("GET /a", "legacy", "weight", 200, count)]
    )


def count(collector: Collector) -> int:
    return sum(line.count for line in collector.totals().requests)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_totals_add_up_over_workers() -> None:
    collector = Collector()
    for incarnation in "ab":
        collector.joined(incarnation, fresh=True)
        collector.record(incarnation, served(5, connections=2))
    assert count(collector) == 10
    assert collector.totals().connections == 4


def test_what_a_dead_worker_counted_stays_and_its_connections_go() -> None:
    collector = Collector()
    collector.joined("a", fresh=True)
    collector.record("a", served(5, connections=2))
    collector.left("a")
    collector.joined("b", fresh=True)
    collector.record("b", served(1))
    assert count(collector) == 6
    assert collector.totals().connections == 0


def test_a_worker_that_only_reconnects_is_not_counted_twice() -> None:
    collector = Collector()
    collector.joined("a", fresh=True)
    collector.record("a", served(5))
    collector.left("a")
    collector.joined("a", fresh=False)
    collector.record("a", served(7))
    assert count(collector) == 7


def test_memory_of_departed_workers_is_bounded_and_loses_nothing() -> None:
    collector = Collector()
    for number in range(REMEMBERED + 20):
        collector.joined(str(number), fresh=True)
        collector.record(str(number), served(1))
        collector.left(str(number))
    assert count(collector) == REMEMBERED + 20
    assert len(collector._departed) == REMEMBERED


def test_what_an_adopted_worker_did_before_is_no_traffic_of_this_minute() -> None:
    clock = Clock()
    collector = Collector(clock)
    collector.joined("a", fresh=False)
    collector.record("a", served(1000))
    clock.now = 10.0
    collector.record("a", served(1020))
    assert count(collector) == 1020
    assert collector.figures()["GET /a", "legacy"].requests_per_second == pytest.approx(2.0)


def test_the_first_totals_of_a_fresh_worker_are_traffic() -> None:
    clock = Clock()
    collector = Collector(clock)
    collector.joined("a", fresh=True)
    clock.now = 5.0
    collector.record("a", served(10))
    assert collector.figures()["GET /a", "legacy"].requests_per_second == pytest.approx(2.0)


def test_a_histogram_of_another_shape_is_left_out_and_the_rest_is_counted() -> None:
    collector = Collector()
    collector.joined("a", fresh=True)
    odd = msgspec.structs.replace(served(3), latencies=[Latency("GET /a", "legacy", [1, 2], 0.1)])
    collector.record("a", odd)
    collector.record("a", odd)
    assert count(collector) == 3
    assert collector.totals().latencies == []


def test_partial_totals_change_only_what_they_name() -> None:
    clock = Clock()
    collector = Collector(clock)
    collector.joined("a", fresh=True)
    collector.record("a", merge([served(5), served_at("GET /b", 2)]))
    clock.now = 30.0
    collector.record("a", msgspec.structs.replace(served_at("GET /b", 3), partial=True))
    assert count(collector) == 8
    assert collector.figures()["GET /b", "legacy"].requests_per_second == pytest.approx(3 / 30)


def test_minutes_are_closed_as_totals_come_in() -> None:
    clock = Clock()
    collector = Collector(clock)
    collector.joined("a", fresh=True)
    collector.record("a", served(5))
    clock.now = 61.0
    collector.record("a", served(6))
    assert collector.history.minutes(("GET /a", "legacy"))[-1].requests == 6
    assert collector.evidence_seconds("GET /a") == 61.0


def test_what_an_adopted_worker_did_before_is_no_evidence() -> None:
    collector = Collector(Clock())
    collector.joined("a", fresh=False)
    collector.record("a", served(1000))
    collector.record("a", served(1004))
    assert collector.history.recent(collector.totals())["GET /a", "legacy"].requests == 4


def served_at(endpoint: str, count: int) -> Stats:
    return msgspec.structs.replace(EMPTY, requests=[Requests(endpoint, "legacy", "weight", 200, count)])


def resumed(kept: KeptTotals) -> Collector:
    collector = Collector()
    collector.resume(msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=KeptTotals))
    return collector


def test_the_next_process_goes_on_from_what_the_last_one_had_counted() -> None:
    first = Collector()
    for incarnation, requests in (("gone", 3), ("a", 5), ("b", 7)):
        first.joined(incarnation, fresh=True)
        first.record(incarnation, served(requests, connections=2))
    first.left("gone")
    second = resumed(first.kept())
    assert count(second) == 15
    assert second.totals().connections == 0
    second.joined("a", fresh=False)
    assert count(second) == 15
    second.record("a", served(6, connections=2))
    assert count(second) == 16
    assert second.totals().connections == 2
    second.left("a")
    second.left("b")
    assert count(second) == 16


def test_a_third_process_knows_of_workers_that_the_second_never_heard() -> None:
    first = Collector()
    first.joined("a", fresh=True)
    first.record("a", served(5))
    assert count(resumed(resumed(first.kept()).kept())) == 5


def test_what_an_earlier_process_has_counted_is_not_traffic_of_this_minute() -> None:
    first = Collector()
    first.joined("a", fresh=True)
    first.record("a", served(600))
    second = resumed(first.kept())
    second.joined("a", fresh=False)
    second.record("a", served(600))
    assert second.figures() == {}
    second.record("a", served(660))
    assert second.figures()["GET /a", "legacy"].requests_per_second == 60  # in its first second


def test_without_a_worker_that_went_on_serving_the_counters_begin_at_zero() -> None:
    first = Collector()
    first.joined("a", fresh=True)
    first.record("a", served(5))
    second = resumed(first.kept())
    second.begin_anew()
    second.joined("b", fresh=True)
    second.record("b", served(1))
    assert count(second) == 1
