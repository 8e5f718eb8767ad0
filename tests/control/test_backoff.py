from __future__ import annotations

from proxy.control.backoff import LONGEST, Backoff


def test_a_first_death_is_answered_at_once() -> None:
    assert Backoff().after(0.1) == 0.0


def test_waits_double_while_it_dies_young_and_are_capped_without_ever_giving_up() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.1) for _ in range(2000)]
    assert waits[:5] == [0.0, 0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == LONGEST
    assert waits == sorted(waits)


def test_a_worker_that_ran_for_a_while_starts_the_count_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.1)
    assert backoff.after(60.0) == 0.0
    assert [backoff.after(0.1), backoff.after(0.1)] == [0.0, 0.2]
