from __future__ import annotations

import pytest

from proxy.core.weights import percent, percent_number


@pytest.mark.parametrize(
    ("weight", "text"), [(0, "0"), (1, "0.01"), (1250, "12.5"), (10_000, "100"), (1000, "10")]
)
def test_percent_is_as_written(weight: int, text: str) -> None:
    assert percent(weight) == text


@pytest.mark.parametrize(("weight", "number"), [(2500, 25), (1250, 12.5), (1, 0.01), (0, 0), (10000, 100)])
def test_whole_percents_are_whole_numbers(weight: int, number: float) -> None:
    found = percent_number(weight)
    assert (found, type(found)) == (number, type(number))
