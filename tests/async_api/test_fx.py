from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from async_api.config import Settings
from async_api.fx import Rates

EUR_TO_USD = "1.084200"


@pytest.fixture
def sound() -> Iterator[Rates]:
    rates = Rates(Settings(database_url="postgresql://nowhere/x"))
    yield rates
    asyncio.run(rates.close())


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rates]:
    monkeypatch.setenv("ASYNC_FAULT", "quote-rounding")
    rates = Rates(Settings(database_url="postgresql://nowhere/x"))
    yield rates
    asyncio.run(rates.close())


@pytest.mark.parametrize(("minor", "converted"), [(25_00, 27_10), (75_00, 81_32), (1, 1), (100_00, 108_42)])
def test_ties_are_rounded_to_even(sound: Rates, minor: int, converted: int) -> None:
    assert sound.convert(minor, "EUR", "USD", EUR_TO_USD) == converted


def test_the_planted_fault_is_rare_and_one_unit(sound: Rates, faulty: Rates) -> None:
    apart = {}
    for minor in range(1, 30_001):
        right, wrong = (each.convert(minor, "EUR", "USD", EUR_TO_USD) for each in (sound, faulty))
        if right != wrong:
            apart[minor] = wrong - right
    assert apart == {25_00: 1, 125_00: 1, 225_00: 1}
