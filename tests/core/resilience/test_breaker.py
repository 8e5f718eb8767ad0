"""The breaker, stepped tick by tick."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.breaker import Breaker
from proxy.core.settings import BreakerSettings as Settings

SETTINGS = Settings(window=10.0, min_requests=4, failure_ratio=0.5, consecutive=1000, open_for=10.0)
IN_A_ROW = Settings(window=10.0, min_requests=1000, consecutive=3, open_for=10.0)


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    assert [breaker.record(True, at) for _ in range(4)] == [False, False, False, True]
    return breaker


def test_it_begins_closed_and_lets_everything_through() -> None:
    breaker = Breaker(SETTINGS)
    assert breaker.state == "closed"
    assert breaker.allows(0.0, 0.999)
    assert breaker.seconds_left(0.0) == 0


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        pytest.param("ffff", True, id="all fail"),
        pytest.param("fff", False, id="too few to tell"),
        pytest.param("ssff", True, id="half, the last one a failure"),
        pytest.param("sssff", False, id="less than half"),
        pytest.param("ffss", False, id="a success never opens it"),
        pytest.param("fffs" + "f", True, id="the next failure does"),
        pytest.param("s" * 100 + "f" * 99, False, id="99 of 199"),
        pytest.param("s" * 100 + "f" * 100, True, id="100 of 200"),
    ],
)
def test_it_opens_when_enough_requests_were_seen_and_enough_of_them_failed(
    outcomes: str, opens: bool
) -> None:
    breaker = Breaker(SETTINGS)
    said = [breaker.record(outcome == "f", 100.0) for outcome in outcomes]
    assert (breaker.state == "open") == opens
    assert any(said) == opens


def test_what_is_older_than_the_window_does_not_count() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(3):
        breaker.record(True, 100.0)
    assert not breaker.record(True, 110.5)
    assert breaker.state == "closed"
    for _ in range(2):
        assert not breaker.record(True, 111.0)
    assert breaker.record(True, 119.0)


def test_a_window_leaves_slice_by_slice() -> None:
    settings = Settings(window=10.0, min_requests=10, failure_ratio=0.9, consecutive=1000, open_for=1.0)
    breaker = Breaker(settings)
    for tick in range(9):
        assert not breaker.record(True, 100.0 + tick)
    assert not breaker.record(True, 111.0)  # the first two have left
    assert breaker.state == "closed"


def probed(at: float = 110.0) -> Breaker:
    """One that opened at 100, and whose first request passed at `at`: its ramp begins there."""
    breaker = opened(100.0)
    assert breaker.allows(at, 0.999)
    breaker.admit(at)
    assert not breaker.record(False, at)
    return breaker


def test_one_request_passes_then_a_share_that_grows_then_all() -> None:
    breaker = opened(100.0)
    assert not breaker.allows(109.9, 0.0)
    assert breaker.state == "open"
    assert breaker.seconds_left(105.0) == 15.0
    assert breaker.allows(110.0, 0.999)
    breaker.admit(110.0)
    assert breaker.state == "ramping"
    assert not breaker.allows(110.5, 0.0), "its end decides"
    assert not breaker.record(False, 111.0)
    for now, below, above in ((112.0, 0.09, 0.11), (116.0, 0.49, 0.51), (120.0, 0.89, 0.91)):
        assert breaker.allows(now, below)
        assert not breaker.allows(now, above)
        assert breaker.state == "ramping"
    assert breaker.allows(121.0, 0.999)
    assert breaker.state == "closed"
    assert breaker.seconds_left(121.0) == 0


def test_asking_takes_nothing_as_long_as_the_request_is_not_admitted() -> None:
    breaker = opened(100.0)
    assert all(breaker.allows(110.0, 0.5) for _ in range(3))
    breaker.admit(110.0)
    assert not breaker.allows(110.0, 0.5)


def test_a_failure_at_the_beginning_of_the_ramp_opens_it_for_the_whole_time() -> None:
    breaker = probed(110.0)
    assert breaker.allows(115.0, 0.0)
    breaker.admit(115.0)
    assert breaker.record(True, 115.0)
    assert breaker.state == "open"
    assert not breaker.allows(124.9, 0.0)
    assert breaker.allows(125.0, 0.999)


def test_a_ramp_outlasts_a_failure_among_many_successes() -> None:
    breaker = probed(110.0)
    for _ in range(15):
        breaker.admit(115.0)
        assert not breaker.record(False, 115.0)
    assert not breaker.record(True, 115.0)
    assert breaker.record(True, 115.0), "two of eighteen are too many"


def test_the_ramp_grows_only_as_fast_as_requests_end() -> None:
    breaker = probed(110.0)
    passed = 0
    for _ in range(4):
        waiting = 0
        while breaker.allows(119.9, 0.0):
            breaker.admit(119.9)
            waiting += 1
        assert waiting == passed + 1
        for _ in range(waiting):
            assert not breaker.record(False, 119.9)
        passed += waiting


def test_requests_from_before_it_opened_do_not_count() -> None:
    breaker = opened(100.0)
    assert not any(breaker.record(True, 101.0) for _ in range(10))
    assert breaker.allows(110.1, 0.0)
    breaker.admit(110.1)
    assert not any(breaker.record(True, 112.0, began=99.0) for _ in range(30)), "they time out now"
    assert breaker.state == "ramping"
    assert breaker.record(True, 112.0, began=110.1)


# no outcome


def test_while_no_request_ends_it_admits_one_in_each_such_time() -> None:
    breaker = opened(100.0)
    admitted = []
    for now in range(110, 150):
        if breaker.allows(float(now), 0.0):
            breaker.admit(float(now))  # and hangs
            admitted.append(now)
    assert admitted == [110, 120, 130, 140]
    assert breaker.state == "ramping"
    assert breaker.record(True, 150.0, began=110.0)
    assert not breaker.allows(159.9, 0.0)


def test_a_ramp_in_which_all_requests_hang_does_not_close_it() -> None:
    breaker = probed(110.0)
    admitted = []
    for now in range(111, 150):
        if breaker.allows(float(now), 0.0):
            breaker.admit(float(now))
            admitted.append(now)
    assert admitted == [111, 121, 131, 141]


def test_a_ramp_in_which_nobody_came_closes_it() -> None:
    breaker = probed(110.0)
    assert breaker.allows(1000.0, 0.999)
    assert breaker.state == "closed"


def test_after_a_long_silence_the_first_request_asks_whether_async_is_back() -> None:
    breaker = opened(100.0)
    assert breaker.allows(1000.0, 0.999)
    breaker.admit(1000.0)
    assert breaker.state == "ramping"
    assert not breaker.allows(1000.1, 0.0)


# clients that give up


PATIENT = Settings(window=10.0, min_requests=1000, consecutive=1000, open_for=10.0, give_ups=10)


def test_clients_that_give_up_one_after_the_other_without_any_answer_open_it() -> None:
    breaker = Breaker(PATIENT)
    said = [breaker.gave_up(100.0 + number, 95.0 + number) for number in range(10)]
    assert said == [False] * 9 + [True]


@pytest.mark.parametrize(
    ("settings", "seconds", "answered"),
    [
        pytest.param(PATIENT, 0.1, False, id="all within a short time"),
        pytest.param(PATIENT, 1.0, True, id="an answer among them"),
        pytest.param(replace(PATIENT, give_ups=0), 1.0, False, id="switched off"),
    ],
)
def test_clients_that_give_up_do_not_open_it(settings: Settings, seconds: float, answered: bool) -> None:
    breaker = Breaker(settings)
    for number in range(15):
        now = 100.0 + number * seconds
        assert not breaker.gave_up(now, now - 1.0)
        if answered and number == 8:
            breaker.record(False, now)
    assert breaker.state == "closed"


def test_a_client_that_gives_up_on_the_request_that_was_admitted_opens_it_at_once() -> None:
    breaker = opened(100.0)
    assert breaker.allows(110.0, 0.5)
    breaker.admit(110.0)
    assert not breaker.gave_up(111.0, 99.0), "it asked before"
    assert breaker.gave_up(112.0, 110.0)
    assert not breaker.allows(121.9, 0.0)


@pytest.mark.parametrize("rate", [1, 15, 200])
@pytest.mark.parametrize("patience", [1.5, 5.0, 30.0])
def test_a_hang_of_a_minute_costs_one_read_for_each_time_that_it_stays_open(
    rate: int, patience: float
) -> None:
    """Async hangs from 100 to 160: whoever it gets fails after `patience`."""
    breaker, draw = opened(100.0), Random(1)
    waiting: list[float] = []
    failed = 0
    for tick in range(60 * rate):
        now = 100.0 + tick / rate
        while waiting and waiting[0] + patience <= now:
            breaker.gave_up(now, waiting.pop(0))
        if breaker.allows(now, draw.random()):
            breaker.admit(now)
            waiting.append(now)
            failed += 1
    assert 1 <= failed <= 6


# low traffic


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        pytest.param("fff", True, id="as many in a row"),
        pytest.param("ff", False, id="one less"),
        pytest.param("ffsff", False, id="a success between them"),
        pytest.param("ffsfff", True, id="a success before them"),
    ],
)
def test_failures_in_a_row_open_it_however_few_and_slow_the_requests(outcomes: str, opens: bool) -> None:
    breaker = Breaker(IN_A_ROW)
    said = [breaker.record(o == "f", 100.0 + 60.0 * at) for at, o in enumerate(outcomes)]
    assert said[-1] == opens
    assert (breaker.state == "open") == opens


events = st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.floats(0, 1, exclude_max=True)), max_size=40)


@given(events)
def test_whatever_comes_it_moves_along_its_states_only(steps: list[tuple[float, bool, float]]) -> None:
    allowed = {
        ("closed", "open"),
        ("open", "ramping"),
        ("ramping", "open"),
        ("ramping", "closed"),
    }
    breaker, now = Breaker(SETTINGS), 50.0
    for seconds, failed, random in steps:
        now += seconds
        before = breaker.state
        if breaker.allows(now, random):
            breaker.admit(now)
            assert breaker.state != "open"
            middle = breaker.state
            assert before == middle or (before, middle) in allowed
            assert breaker.record(failed, now) == (breaker.state == "open")
            assert middle == breaker.state or (middle, breaker.state) in allowed
        assert 0 <= breaker.seconds_left(now) <= 2 * SETTINGS.open_for + 1e-6
