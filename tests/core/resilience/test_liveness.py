from __future__ import annotations

import pytest

from proxy.core.resilience.liveness import Awake, Life, life


@pytest.mark.parametrize(
    ("silence", "bound", "verdict"),
    [
        (0.0, 15.0, "fresh"),
        (4.9, 15.0, "fresh"),
        (5.0, 15.0, "silent"),
        (14.9, 15.0, "silent"),
        (15.0, 15.0, "hung"),
        (2.4, 3.0, "fresh"),  # two missed reports mean nothing, however short the bound
        (2.5, 3.0, "silent"),
        (3.0, 3.0, "hung"),
        (1199.0, 3600.0, "fresh"),
    ],
)
def test_silence_is_judged_by_the_bound(silence: float, bound: float, verdict: Life) -> None:
    assert life(silence, bound) == verdict


def test_time_in_which_we_were_stopped_does_not_count() -> None:
    awake = Awake(100.0, 1.0)
    for tick in (100.5, 101.0, 101.5):
        awake.tick(tick)
    assert awake.at(101.5) == 1.5
    awake.tick(1000.0)  # stopped in between
    assert awake.at(1000.0) == 2.5
    assert awake.at(1000.4) == pytest.approx(2.9)
    assert awake.at(2000.0) == 3.5  # stopped again, and not ticked yet


def test_time_in_which_nobody_could_be_heard_does_not_count() -> None:
    awake = Awake(100.0, 1.0)
    awake.tick(100.5)
    awake.tick(101.0, counts=False)
    assert awake.at(101.0) == 0.5


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    awake = Awake(100.0, 1.0)
    awake.tick(100.8)
    awake.tick(90.0)
    assert awake.at(90.0) == pytest.approx(0.8)
