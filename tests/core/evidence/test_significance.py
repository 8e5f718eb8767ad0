from __future__ import annotations

import random
from bisect import bisect_left

import pytest

from proxy.core.evidence.significance import (
    SeriesCounts,
    boundary,
    error_rates,
    latencies,
    needed,
    order_interval,
    wilson,
)
from proxy.core.evidence.stats import BOUNDS


def histogram(seconds: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in seconds:
        counts[bisect_left(BOUNDS, value)] += 1
    return counts


def lognormal(number: int, seed: int, median: float = 0.01) -> list[float]:
    generator = random.Random(seed)
    return [median * generator.lognormvariate(0, 0.5) for _ in range(number)]


def test_wilson_agrees_with_the_published_formula() -> None:
    """10 of 100 by Wilson's formula: the rates p with |0.1 - p| = z sqrt(p (1 - p) / 100).

    At 100 requests the boundary is z = sqrt(2 ln(2 / 0.01^2)) = 4.4505.
    """
    assert boundary(100) == pytest.approx(4.4505, abs=1e-4)
    interval = wilson(10, 100)
    assert interval.estimate == 0.1
    for rate in (interval.low, interval.high):
        assert abs(0.1 - rate) == pytest.approx(4.4505 * (rate * (1 - rate) / 100) ** 0.5, rel=1e-4)


def test_no_error_at_all_still_leaves_room_for_some() -> None:
    interval = wilson(0, 100)
    assert interval.low == 0
    assert 0.1 < interval.high < 0.2


@pytest.mark.parametrize(
    ("legacy", "async_", "verdict"),
    [
        ((49, 0), (10_000, 0), "too little data"),
        ((10_000, 0), (49, 49), "too little data"),
        ((1000, 5), (1000, 6), "noise"),
        ((1000, 5), (1000, 70), "worse"),
        ((1000, 70), (1000, 5), "better"),
        ((100_000, 0), (50, 1), "noise"),
        ((100_000, 0), (50, 20), "worse"),
    ],
)
def test_error_rates(legacy: tuple[int, int], async_: tuple[int, int], verdict: str) -> None:
    assert error_rates(SeriesCounts(*legacy), SeriesCounts(*async_)).verdict == verdict


def test_the_interval_of_error_rates_is_async_minus_legacy() -> None:
    found = error_rates(SeriesCounts(1000, 10), SeriesCounts(1000, 110)).interval
    assert found is not None
    assert found.estimate == pytest.approx(0.1)
    assert 0.06 < found.low < 0.1 < found.high < 0.15


def test_equal_latencies_are_noise_and_others_are_not() -> None:
    legacy = SeriesCounts(2000, 0, histogram(lognormal(2000, 1)))
    same = SeriesCounts(2000, 0, histogram(lognormal(2000, 2)))
    slower = SeriesCounts(2000, 0, histogram(lognormal(2000, 3, median=0.02)))
    for q in (0.5, 0.95, 0.99):
        assert latencies(legacy, same, q).verdict == "noise"
        assert latencies(legacy, slower, q).verdict == "worse"
        assert latencies(slower, legacy, q).verdict == "better"


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_a_quantile_needs_enough_requests_beyond_it_and_says_how_many(q: float) -> None:
    number = needed(q)
    few, enough = histogram(lognormal(int(number * 0.9), 1)), histogram(lognormal(number, 1))
    assert order_interval(few, q) is None
    assert order_interval(enough, q) is not None
    found = latencies(SeriesCounts(0, 0, few), SeriesCounts(0, 0, enough), q)
    assert (found.verdict, found.missing) == ("too little data", (number - int(number * 0.9), 0))


def test_no_data_is_too_little_data() -> None:
    assert error_rates(SeriesCounts(), SeriesCounts()).verdict == "too little data"
    assert latencies(SeriesCounts(), SeriesCounts(), 0.5).interval is None


def test_equal_backends_are_seldom_called_different_however_often_one_looks() -> None:
    """99 % intervals of single looks call a fifth of such runs different at some time."""
    wrong = 0
    for seed in range(60):
        chance = random.Random(seed)
        errors, counts = [0, 0], [[0] * (len(BOUNDS) + 1) for _ in range(2)]
        for look in range(1, 60):
            for side in (0, 1):
                errors[side] += sum(chance.random() < 0.02 for _ in range(20))
                for value in (0.01 * chance.lognormvariate(0, 0.5) for _ in range(20)):
                    counts[side][bisect_left(BOUNDS, value)] += 1
            left, right = (SeriesCounts(20 * look, errors[side], counts[side]) for side in (0, 1))
            found = (error_rates(left, right), latencies(left, right, 0.5))
            if any(each.verdict in ("worse", "better") for each in found):
                wrong += 1
                break
    assert wrong <= 2


def test_the_interval_covers_the_true_quantile() -> None:
    missed = 0
    for seed in range(200):
        interval = order_interval(histogram(lognormal(400, seed)), 0.5)
        assert interval is not None
        missed += not interval.low <= 0.01 <= interval.high
    assert missed <= 4
