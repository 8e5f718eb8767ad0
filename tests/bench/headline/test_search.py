from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.headline.search import most


@given(st.integers(0, 17_000), st.integers(1, 20_000), st.sampled_from([1.05, 1.12, 1.5]))
def test_the_most_that_hold_are_found_to_within_the_precision(
    truth: int, guess: int, precision: float
) -> None:
    tried: list[int] = []

    def holds(users: int) -> bool:
        tried.append(users)
        return users <= truth

    found = most(holds, guess, 17_000, precision)
    assert found <= truth
    assert truth <= max(found * precision, found + 1)
    assert len(tried) == len(set(tried)) <= 32


@pytest.mark.parametrize("guess", [1, 7, 500])
def test_nothing_holds(guess: int) -> None:
    assert most(lambda users: False, guess, 1000) == 0


def test_all_that_there_can_be_hold() -> None:
    assert most(lambda users: True, 3, 1000) == 1000
