"""Trials as all workers together saw them, whichever of them are still there."""

from __future__ import annotations

import pytest

from proxy.control import trials
from proxy.control.collect import REMEMBERED, Collector
from proxy.control.trials import CollectedTrials
from tests.core.traffic.units import report, stats

A = "GET /a"


def collector(*incarnations: str) -> Collector:
    made = Collector()
    for incarnation in incarnations:
        made.joined(incarnation, fresh=True)
    return made


def test_workers_are_brought_together_and_the_departed_stay() -> None:
    of = collector("one", "two")
    of.record("one", stats(report(active=b"\x01", legacy=(2, 0, 0, 0))))
    of.record("two", stats(report(active=b"\x02", failing=b"\x02", legacy=(1, 1, 0, 0))))
    of.left("one")
    expected = report(active=b"\x03", failing=b"\x02", legacy=(3, 1, 0, 0))
    assert of.units({A: "1"}) == {A: expected}
    of.left("two")
    assert of.units({A: "1", "GET /never": "1"}) == {A: expected}
    assert of.totals().units == []  # kept once, not with the totals of each worker


def test_newer_counts_of_a_worker_take_the_place_of_its_older_ones() -> None:
    of = collector("one")
    of.record("one", stats(report(async_=(5, 1, 0, 0), version="1")))
    of.record("one", stats(report("GET /b"), partial=True))
    of.record("one", stats(report(async_=(7, 1, 0, 0), version="2"), partial=True))
    of.left("one")
    of.joined("one", fresh=False)
    of.record("one", stats(report(async_=(7, 1, 0, 0), version="2")))
    assert of.units({A: "1"})[A] == report(async_=(7, 1, 0, 0), version="2")


def test_more_departed_workers_than_are_remembered_lose_nothing() -> None:
    many = max(REMEMBERED, trials.MAX_COUNTED) + 20
    of = collector()
    for number in range(many):
        of.joined(str(number), fresh=True)
        of.record(
            str(number), stats(report(legacy=(1, 0, 0, 0), active=(1 << number).to_bytes(100, "little")))
        )
        of.left(str(number))
    found = of.units({A: "1"})[A]
    assert found.legacy == (many, 0, 0, 0)
    assert int.from_bytes(found.active, "little").bit_count() == many


def test_only_the_wanted_epoch_is_told_and_those_before_it_are_forgotten() -> None:
    of = CollectedTrials()
    for epoch in ("1", "2", "3"):
        of.record("one", [report(epoch=epoch), report("GET /b", epoch=epoch)])
    assert of.units({A: "2"}) == {A: report(epoch="2")}
    assert [key for key in of._epochs if key[0] == A] == [(A, "2"), (A, "3")]
    assert len(of._epochs) == 5  # the other endpoint's stay: nobody has asked for a newer one
    assert of.units({A: "gone"}) == {}
    assert of.units({A: "3"}) == {A: report(epoch="3")}


def test_a_late_report_of_the_wanted_epoch_does_not_end_the_one_that_follows() -> None:
    of = CollectedTrials()
    of.record("one", [report(epoch="1")])
    of.record("one", [report(epoch="2", active=b"\x01")])
    of.record("two", [report(epoch="1")])
    assert of.units({A: "1"})
    assert of.units({A: "2"}) == {A: report(epoch="2", active=b"\x01")}


def test_memory_is_bounded_and_the_one_longest_unheard_of_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MAX_EPOCHS", 2)
    of = CollectedTrials()
    for endpoint in ("GET /a", "GET /b", "GET /a", "GET /c"):
        of.record("one", [report(endpoint)])
    assert sorted(of.units({"GET /a": "1", "GET /b": "1", "GET /c": "1"})) == ["GET /a", "GET /c"]
