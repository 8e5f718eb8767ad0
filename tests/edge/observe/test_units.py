"""Maps and counts of trials, without a worker around them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.response import ResponseHead, parse_response
from proxy.core.routing.buckets import UNITS
from proxy.core.routing.decide import Decision
from proxy.core.settings import ASYNC, LEGACY, RolloutPlan
from proxy.core.wire.messages import EndpointPosition, UnitReport
from proxy.edge.observe import units
from proxy.edge.observe.units import RequestTrial, WorkerTrials
from tests.core.tables import endpoint

READ = endpoint("GET /a", plan=RolloutPlan("p", (10_000,)))


def trials(epoch: str = "1.1", slow: float | None = None) -> WorkerTrials:
    made = WorkerTrials()
    made.apply({READ.name: EndpointPosition(READ.name, 100, epoch, slow)})
    return made


def begun(of: WorkerTrials, unit: int | None = 3, **given: Any) -> RequestTrial:
    backend = given.pop("backend", ASYNC)
    trial = of.begin(READ, Decision(READ, backend, given.pop("reason", "weight"), None, unit))
    assert trial is not None
    trial.begin()
    return trial


def answer(status: int, version: bytes = b"") -> ResponseHead:
    field = b"X-Version: %b\r\n" % version if version else b""
    return parse_response(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n%b\r\n" % (status, field), "GET")


def report(of: WorkerTrials) -> UnitReport:
    [found] = of.reports(changed=False)
    return found


def bits(map: bytes) -> set[int]:
    number = int.from_bytes(map, "little")
    return {unit for unit in range(number.bit_length()) if number >> unit & 1}


@given(st.sets(st.integers(0, UNITS - 1), max_size=30), st.sets(st.integers(0, UNITS - 1), max_size=10))
def test_a_map_has_exactly_the_units_that_had_a_trial(fine: set[int], failing: set[int]) -> None:
    of = trials()
    for unit in fine:
        begun(of, unit).answered(answer(200))
    for unit in failing:
        begun(of, unit).failed()
    told = report(of)
    assert bits(told.active) == fine | failing
    assert bits(told.failing) == failing
    assert (told.refused, told.slower) == (b"", b"")
    assert len(told.active) in (0, UNITS // 8)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, ""), (304, ""), (400, "refused"), (499, "refused"), (500, "failing"), (599, "failing")],
)
@pytest.mark.parametrize("backend", [LEGACY, ASYNC])
def test_statuses_are_judged_alike_on_both_sides(backend: Any, status: int, kind: str) -> None:
    of = trials()
    begun(of, 9, backend=backend).answered(answer(status))
    begun(of, None, backend=backend).answered(answer(status))
    told = report(of)
    for each in ("failing", "refused", "slower"):
        assert bits(getattr(told, each)) == ({9} if each == kind else set())
    counts = (1, int(kind == "failing"), int(kind == "refused"), 0)
    assert (told.legacy, told.async_) == ((counts, (0,) * 4) if backend == LEGACY else ((0,) * 4, counts))


def test_an_answer_that_breaks_off_fails_a_trial_that_was_counted_once() -> None:
    of = trials()
    for status in (200, 404, 500):
        trial = begun(of, None)
        trial.answered(answer(status))
        trial.failed()
    assert report(of).async_ == (3, 3, 1, 0)


def test_slowness_is_judged_only_where_a_limit_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(units, "perf_counter", lambda: now[0])
    unlimited, limited = trials(), trials(slow=0.5)
    for of in (unlimited, limited):
        for unit, seconds in ((1, 0.4), (2, 0.6)):
            trial = begun(of, unit)
            now[0] += seconds
            trial.answered(answer(200))
        for unit, seconds in ((3, 0.4), (4, 0.6)):
            trial = begun(of, unit)
            now[0] += seconds
            trial.left()
    assert (bits(report(unlimited).active), report(unlimited).slower) == ({1, 2}, b"")
    assert (bits(report(limited).active), bits(report(limited).slower)) == ({1, 2, 4}, {2, 4})


def test_a_client_that_leaves_before_anything_was_asked_is_no_trial() -> None:
    of = trials(slow=0.0)
    trial = of.begin(READ, Decision(READ, ASYNC, "weight", None, 3))
    assert trial is not None
    trial.left()
    assert report(of).active == b""


@pytest.mark.parametrize("reason", ["breaker", "fallback", "owner", "preflight", "unlisted"])
def test_other_reasons_are_no_trials(reason: Any) -> None:
    assert trials().begin(READ, Decision(READ, ASYNC, reason, None, 3)) is None
    assert trials(epoch="").begin(READ, Decision(READ, ASYNC, "weight", None, 3)) is None


def test_at_somebodys_wish_only_the_version_is_heard() -> None:
    of = trials(slow=0.0)
    begun(of, reason="override").answered(answer(500, b"7"))
    begun(of, reason="override").failed()
    begun(of, reason="override").left()
    told = report(of)
    assert (told.active, told.failing, told.slower, told.version) == (b"", b"", b"", "7")
    assert of.begin(READ, Decision(READ, LEGACY, "override", None, 3)) is None


def test_the_version_is_asyncs_last_one_and_bounded() -> None:
    of = trials()
    begun(of).answered(answer(200, b"1"))
    begun(of, backend=LEGACY).answered(answer(200, b"old"))
    assert report(of).version == "1"
    begun(of).answered(answer(200, b"2" * 5000))
    begun(of).answered(answer(200))
    assert report(of).version == "2" * units.MAX_VERSION


def test_the_version_is_looked_for_once_between_two_reports() -> None:
    of = trials()
    begun(of).answered(answer(200, b"1"))
    begun(of).answered(answer(200, b"2"))
    assert report(of).version == "1"
    begun(of).answered(answer(200, b"2"))
    assert report(of).version == "2"


def test_another_epoch_begins_with_empty_maps_and_what_is_under_way_is_lost_to_it() -> None:
    of = trials()
    late = begun(of, 5)
    begun(of, 4).answered(answer(200))
    of.apply({READ.name: EndpointPosition(READ.name, 500, "1.1", 2.0)})  # the same one, moved
    assert bits(report(of).active) == {4}
    of.apply({READ.name: EndpointPosition(READ.name, 500, "1.2")})
    late.answered(answer(500))
    told = report(of)
    assert (told.epoch, told.active, told.failing) == ("1.2", b"", b"")
    of.apply({})
    assert of.reports(changed=False) == []


def test_only_what_changed_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    of = trials()
    assert of.reports(changed=True) == []
    begun(of).answered(answer(200))
    assert len(of.reports(changed=True)) == 1
    assert of.reports(changed=True) == []
    assert len(of.reports(changed=False)) == 1


def test_a_report_has_a_bound_and_the_others_come_with_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MAX_REPORTED", 2)
    of = WorkerTrials()
    names = [f"GET /{letter}" for letter in "abcde"]
    of.apply({name: EndpointPosition(name, 100, "1") for name in names})
    told = []
    for changed in (False, True, True):
        told.append([each.endpoint for each in of.reports(changed=changed)])
    assert told == [names[:2], names[2:4], names[4:]]
    assert not of.untold
