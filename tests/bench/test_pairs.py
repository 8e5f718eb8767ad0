from __future__ import annotations

from dataclasses import replace

import pytest

from bench import pairs
from bench.pairs import Pair
from tests.bench.test_report import measured


def test_which_half_comes_first_alternates_and_each_stays_in_its_place() -> None:
    order: list[str] = []

    def half(name: str, cpu: float, number: int) -> pairs.Round:
        order.append(f"{name}{number}")
        return measured(cpu + number)

    found = pairs.measure(lambda n: half("plain", 10, n), lambda n: half("extra", 20, n), 3)
    assert order == ["plain0", "extra0", "extra1", "plain1", "plain2", "extra2"]
    assert [(pair.plain.cpu, pair.extra.cpu) for pair in found] == [(10, 20), (11, 21), (12, 22)]


def test_ratios_are_taken_within_each_pair() -> None:
    found = [
        Pair(measured(10), measured(20)),
        Pair(measured(100), measured(300)),
        Pair(measured(1), measured(4)),
    ]
    assert pairs.cells(found, "CPU us/req") == ("10", "20", "3.00 (2.00-4.00)")


@pytest.mark.parametrize("half", ["plain", "extra"])
def test_failures_of_both_halves_count(half: str) -> None:
    none = replace(measured(1), errors=0)
    assert pairs.failed([Pair(none, none)._replace(**{half: measured(1)})]) == measured(1).errors
