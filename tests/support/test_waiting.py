from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.waiting import eventually, eventually_async


def test_the_first_true_answer_is_given() -> None:
    answers = iter([0, 0, 3, 4])
    assert eventually(lambda: next(answers)) == 3


def test_an_error_of_a_server_that_is_not_there_counts_as_no() -> None:
    answers: Iterator[int | OSError] = iter([ConnectionRefusedError(), 5])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert eventually(ask) == 5


def test_what_never_comes_fails_with_its_name_and_the_last_error() -> None:
    def ask() -> bool:
        raise ConnectionRefusedError("nobody")

    with pytest.raises(AssertionError, match="still not, after 0 s: the end") as failed:
        eventually(ask, "the end", within=0)
    assert "nobody" in str(failed.value.__cause__)


def test_asynchronous_waiting_is_bounded_too() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError):
        asyncio.run(eventually_async(never, within=0.01))
