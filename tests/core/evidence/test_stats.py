from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.evidence.stats import BOUNDS, add, bucket, quantile, subtract

SIZE = len(BOUNDS) + 1


def histogram(seconds: list[float]) -> list[int]:
    counts = [0] * SIZE
    for value in seconds:
        counts[bisect_left(BOUNDS, value)] += 1
    return counts


def test_the_bounds_span_what_requests_take() -> None:
    assert BOUNDS[0] == pytest.approx(50e-6)
    assert 30 < BOUNDS[-1] < 60
    assert all(high / low == pytest.approx(1.12) for low, high in pairwise(BOUNDS))


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert quantile([0] * SIZE, 0.5) is None


def test_beyond_the_last_bound_the_answer_is_that_bound() -> None:
    assert quantile(histogram([1000.0]), 0.99) == BOUNDS[-1]


@given(st.floats(0) | st.sampled_from(BOUNDS) | st.floats(4e-5, 60))
def test_a_bucket_holds_what_is_above_the_bound_below_and_not_above_its_own(seconds: float) -> None:
    assert bucket(seconds) == bisect_left(BOUNDS, seconds)


@given(st.lists(st.floats(1e-4, 30), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_the_bucket_of_the_true_one(seconds: list[float], q: float) -> None:
    ordered = sorted(seconds)
    rank = next(index for index in range(len(ordered)) if index + 1 >= q * len(ordered) - 1e-9)
    found = quantile(histogram(seconds), q)
    assert found is not None
    assert ordered[rank] / 1.1201 <= found <= ordered[rank] * 1.1201


@given(st.lists(st.floats(0, 100), max_size=50), st.lists(st.floats(0, 100), max_size=50))
def test_histograms_add_up_and_subtract(first: list[float], second: list[float]) -> None:
    left, right = histogram(first), histogram(second)
    both = add(left, right)
    assert both == histogram(first + second)
    assert subtract(both, right) == left


def test_histograms_of_different_sizes_are_not_mixed() -> None:
    with pytest.raises(ValueError):
        add([1], [1, 2])
    with pytest.raises(ValueError):
        subtract([1], [1, 2])
