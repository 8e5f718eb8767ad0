from __future__ import annotations

from proxy.control.rollouts.steady import Steady


def test_a_clock_that_is_set_changes_nothing() -> None:
    wall, steady = [1000.0], [5.0]
    clock = Steady(lambda: wall[0], lambda: steady[0])
    assert clock() == 1000.0
    wall[0], steady[0] = 10.0, 7.0
    assert clock() == 1002.0


def test_time_goes_on_from_what_was_written_by_a_clock_that_ran_ahead() -> None:
    steady = [5.0]
    clock = Steady(lambda: 1000.0, lambda: steady[0])
    clock.not_before(900.0)
    assert clock() == 1000.0
    clock.not_before(4600.0)
    steady[0] = 6.0
    assert clock() == 4601.0
