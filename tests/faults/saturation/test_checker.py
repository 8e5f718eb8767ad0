from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.saturation.checker import Seen, check
from tests.faults.saturation.clients import Outcome, Write


def seen(outcome: Outcome, executed: int, *, listed: bool = False) -> Seen:
    write = Write("k", 1, outcome, "503 store_unavailable")
    return Seen([write], Counter({"k": executed} if executed else {}), {"k"} if listed else set())


@pytest.mark.parametrize(
    ("outcome", "executed", "listed"),
    [
        ("acknowledged", 1, False),
        ("acknowledged", 1, True),  # its answer could not be stored
        ("unknown", 0, True),
        ("unknown", 1, True),
        ("open", 0, True),
    ],
)
def test_what_a_client_can_rely_on_is_no_problem(outcome: Outcome, executed: int, listed: bool) -> None:
    assert check(seen(outcome, executed, listed=listed)) == []


@pytest.mark.parametrize(
    ("outcome", "executed", "problem"),
    [
        ("acknowledged", 2, "k was executed 2 times"),
        ("unknown", 3, "k was executed 3 times"),
        ("acknowledged", 0, "k was acknowledged and never executed"),
        ("unknown", 1, "k is unknown to its client, and not listed as unknown"),
        ("refused", 0, "k was refused: 503 store_unavailable"),
        ("open", 1, "k never came to an end (503 store_unavailable), and is not listed as unknown"),
    ],
)
def test_what_is_wrong_with_a_key_is_found(outcome: Outcome, executed: int, problem: str) -> None:
    assert problem in check(seen(outcome, executed))


def test_a_key_that_nobody_used_is_found() -> None:
    assert check(Seen([], Counter({"k": 1}), set())) == ["k was executed and nobody asked for it"]


def test_foreign_answers_requests_without_an_answer_and_violated_invariants_are_found() -> None:
    found = check(Seen([], Counter(), set(), ["a got 201 for b"], ["c"], 2))
    assert found == [
        "a foreign answer: a got 201 for b",
        "c was never answered",
        "the proxy counted 2 violations of its own invariants",
    ]
