"""The breaker, stepped tick by tick."""

from __future__ import annotations

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


def test_open_then_a_linear_ramp_then_closed() -> None:
    breaker = opened(100.0)
    assert not breaker.allows(109.9, 0.0)
    assert breaker.state == "open"
    assert breaker.seconds_left(105.0) == 15.0
    for now, below, above in ((111.0, 0.09, 0.11), (115.0, 0.49, 0.51), (119.0, 0.89, 0.91)):
        assert breaker.allows(now, below)
        assert not breaker.allows(now, above)
        assert breaker.state == "ramping"
    assert not breaker.record(False, 119.5)
    assert breaker.allows(120.0, 0.999)
    assert breaker.state == "closed"
    assert breaker.seconds_left(120.0) == 0


def test_a_ramp_that_fails_opens_it_again_for_the_whole_time() -> None:
    breaker = opened(100.0)
    assert breaker.allows(115.0, 0.0)
    assert [breaker.record(True, 115.0) for _ in range(4)] == [False, False, False, True]
    assert breaker.state == "open"
    assert not breaker.allows(124.9, 0.0)
    assert breaker.allows(126.0, 0.0)


def test_requests_from_before_it_opened_do_not_count() -> None:
    breaker = opened(100.0)
    assert not any(breaker.record(True, 101.0) for _ in range(10))
    assert breaker.allows(110.1, 0.0)
    assert not any(breaker.record(True, 110.1) for _ in range(3))


# no outcome


def test_a_ramp_of_which_no_request_has_ended_does_not_close_it() -> None:
    breaker = opened(100.0)
    for now in (111.0, 115.0, 119.0):
        assert breaker.allows(now, 0.0)  # and hangs
    allowed = [now for now in range(120, 150) if breaker.allows(float(now), 0.0)]
    assert allowed == [120, 130, 140], "one request at a time asks whether async is back"
    assert breaker.state == "ramping"


def test_the_first_failure_after_such_a_ramp_opens_it_again() -> None:
    breaker = opened(100.0)
    assert breaker.allows(111.0, 0.0)
    assert breaker.allows(120.0, 0.999)
    assert not breaker.record(True, 141.0)
    assert not breaker.allows(142.0, 0.0)
    assert breaker.state == "open"
    assert not breaker.allows(151.9, 0.0)


def test_the_first_success_after_such_a_ramp_closes_it() -> None:
    breaker = opened(100.0)
    assert breaker.allows(125.0, 0.999)
    assert not breaker.record(False, 125.1)
    assert breaker.allows(125.2, 0.999)
    assert breaker.state == "closed"


def test_after_a_long_silence_the_first_request_asks_whether_async_is_back() -> None:
    breaker = opened(100.0)
    assert breaker.allows(1000.0, 0.999)
    assert breaker.state == "ramping"
    assert not breaker.allows(1000.1, 0.0)
    assert not breaker.record(False, 1000.2)
    assert breaker.allows(1000.3, 0.999)
    assert breaker.state == "closed"


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


def test_a_ramp_that_saw_failures_only_opens_it_again() -> None:
    breaker = Breaker(IN_A_ROW)
    for _ in range(3):
        breaker.record(True, 100.0)
    assert breaker.allows(115.0, 0.0)
    assert not breaker.record(True, 115.0)
    assert not breaker.allows(120.0, 0.0)
    assert breaker.state == "open"
    assert not breaker.allows(129.0, 0.0)


def test_one_success_in_a_ramp_is_enough_to_close_it() -> None:
    breaker = Breaker(IN_A_ROW)
    for _ in range(3):
        breaker.record(True, 100.0)
    for failed in (True, False, True):
        assert breaker.allows(115.0, 0.0)
        assert not breaker.record(failed, 115.0)
    assert breaker.allows(120.0, 0.999)
    assert breaker.state == "closed"


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
            assert breaker.state != "open"
            middle = breaker.state
            assert before == middle or (before, middle) in allowed
            assert breaker.record(failed, now) == (breaker.state == "open")
            assert middle == breaker.state or (middle, breaker.state) in allowed
        assert 0 <= breaker.seconds_left(now) <= 2 * SETTINGS.open_for + 1e-6
