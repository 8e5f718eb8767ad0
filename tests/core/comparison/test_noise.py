from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median

import pytest

from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import (
    ENOUGH_TWICE,
    LASTING,
    LOOKS,
    MAX_MARKS,
    MIN_TWICE,
    OTHER,
    Counts,
    Following,
    Look,
    Observations,
    Observed,
    share_twice,
)
from proxy.core.documents.exactjson import Json
from tests.core.comparison.noisy import observe

A = frozenset({Mark("a")})
NONE: frozenset[Mark] = frozenset()


def faults(seen: Observations) -> set[Mark]:
    return {mark for mark, each in seen.counts.items() if each.proven}


# one sample


def followed(first: Observed, *looks: Look, complete: bool = True) -> Observed:
    following = Following(first, first.async_ | (first.again or frozenset()))
    for look in looks:
        following.add(look)
    return following.result(complete)


STILL = Look(A, NONE, NONE, NONE, NONE)


def test_a_difference_lasts_if_both_say_the_same_each_time() -> None:
    found = followed(Observed(A), *[STILL] * LOOKS)
    assert (found.lasting, found.once, found.undecided) == (A, NONE, NONE)


@pytest.mark.parametrize(
    ("look", "once"),
    [
        (Look(NONE, NONE, NONE, NONE, A), A),  # async says what legacy says
        (Look(A, NONE, NONE, NONE, A), A),  # async says something else each time
        (Look(A, NONE, A, A, NONE), NONE),  # legacy says something else: it moved
        (Look(A, A, NONE, A, NONE), NONE),  # legacy's two answers of this round differ
        (Look(NONE, NONE, A, A, NONE), NONE),  # legacy now says what async said: it was faster
    ],
)
def test_what_does_not_last_is_async_s_only_while_legacy_keeps_its_answer(
    look: Look, once: frozenset[Mark]
) -> None:
    found = followed(Observed(A), STILL, look)
    assert (found.lasting, found.once, found.undecided) == (NONE, once, NONE)


def test_a_look_that_fails_leaves_undecided_what_it_was_about() -> None:
    found = followed(Observed(A), STILL, complete=False)
    assert (found.lasting, found.once, found.undecided) == (NONE, NONE, A)


def test_a_lasting_difference_of_legacy_with_itself_is_told_apart() -> None:
    """Two replicas that take turns: legacy's first answer is always of one, its second of the other."""
    own = Look(NONE, A, NONE, NONE, NONE)
    found = followed(Observed(NONE, A), *[own] * LOOKS)
    assert (found.legacy, found.lasting) == (A, NONE)
    flake = Look(NONE, NONE, NONE, A, NONE)
    assert followed(Observed(NONE, A), flake).legacy == NONE


def test_there_is_no_more_asking_once_nothing_can_last() -> None:
    following = Following(Observed(A), A)
    assert following.open
    following.add(Look(NONE, NONE, NONE, NONE, A))
    assert not following.open


# many samples


def test_one_lasting_difference_is_a_fault_and_one_flake_never_takes_it_back() -> None:
    seen = Observations()
    for _ in range(700):
        seen.add(Observed(NONE, NONE))
    seen.add(Observed(A, NONE, looked=A, lasting=A))
    assert faults(seen) == {Mark("a")}
    for _ in range(300):
        seen.add(Observed(NONE, A, looked=A))  # legacy's second answer is odd
        seen.add(Observed(NONE, A, looked=A, legacy=A))  # and once more, for good
    assert faults(seen) == {Mark("a")}


def test_where_legacy_differs_lastingly_from_itself_one_difference_of_async_proves_nothing() -> None:
    seen = Observations()
    seen.add(Observed(NONE, A, looked=A, legacy=A))
    for number in range(40):
        seen.add(Observed(A, NONE, looked=A, lasting=A))
        if not number:
            assert faults(seen) == set()
    assert faults(seen) == {Mark("a")}


def test_differences_that_never_last_count_where_async_has_too_many_of_them() -> None:
    seen = Observations()
    for number in range(1, 12):
        seen.add(Observed(A, NONE, looked=A, once=A))
        assert (faults(seen) == {Mark("a")}) == (number >= 11)


def test_what_is_proven_stays_proven_in_the_counts_that_are_stored() -> None:
    seen = Observations()
    gain = seen.add(Observed(A, NONE, looked=A, lasting=A))
    assert gain.marks[Mark("a")].proven == 1
    again = Observations(1, 1, {Mark("a"): gain.marks[Mark("a")].plus(Counts(c=500, legacy=9))})
    assert again.counts[Mark("a")].is_fault(place=1, m=900)


@pytest.mark.parametrize(
    ("observed", "outcomes"),
    [
        (Observed(NONE), ()),
        (Observed(A, looked=A, lasting=A), ("differs",)),
        (Observed(A, looked=A, once=A), ("differs", "once")),
        (Observed(A, looked=A, undecided=A), ("differs", "undecided")),
        (Observed(A, looked=A, moved=A), ()),  # legacy moved: noise
        (Observed(A), ("differs",)),  # nobody could look again, as with dry runs
        (Observed(A, A), ()),
        (Observed(NONE, unanswered=True), ("differs", "unanswered")),
    ],
)
def test_any_difference_that_is_not_legacys_own_counts_into_the_bound(
    observed: Observed, outcomes: tuple[str, ...]
) -> None:
    assert Observations().add(observed).outcomes == outcomes


def test_disjoint_faults_count_together() -> None:
    seen = Observations()
    differing = [seen.add(lasting(f"f{n}")).differs for n in range(10)]
    assert differing.count(True) == 10


def lasting(path: str) -> Observed:
    marks = frozenset({Mark(path)})
    return Observed(marks, looked=marks, lasting=marks)


def test_what_is_known_to_last_or_heavily_noisy_is_not_asked_about_again() -> None:
    seen, b = Observations(), frozenset({Mark("b")})
    assert seen.suspects(Observed(A | b)) == A | b
    for _ in range(LASTING):
        seen.add(Observed(A, NONE, looked=A, lasting=A))
    for _ in range(10):
        seen.add(Observed(b, b))
    assert seen.suspects(Observed(A | b)) == NONE
    assert seen.suspects(Observed(frozenset({Mark("b", "distance")}))) == NONE


def test_a_flake_of_legacy_does_not_end_the_looking() -> None:
    seen = Observations()
    for _ in range(200):
        seen.add(Observed(NONE, NONE))
    seen.add(Observed(NONE, A))
    assert seen.suspects(Observed(A)) == A


def test_legacy_is_asked_twice_less_often_once_enough_is_known() -> None:
    seen = Observations()
    assert share_twice(seen) == 1.0
    for _ in range(MIN_TWICE):
        seen.add(Observed(NONE, NONE))
    assert share_twice(seen) == 0.5
    seen.add(Observed(A))
    assert share_twice(seen) == 1.0
    assert share_twice(Observations(1000, ENOUGH_TWICE)) == 0.1


def test_memory_is_bounded_and_what_is_beyond_still_counts() -> None:
    seen = Observations()
    for number in range(MAX_MARKS + 100):
        seen.add(lasting(f"k{number}"))
    assert len(seen.counts) == MAX_MARKS + 1
    assert seen.counts[Mark(OTHER)].differed == 100


# simulations: many runs, looked at after each sample


def watch(ask: Callable[[random.Random, int], Callable[[str], Json]], n: int, seed: int) -> int | None:
    """After how many samples something is called a fault; None if nothing is."""
    chance, seen = random.Random(seed), Observations()
    for number in range(1, n + 1):
        observe(seen, ask(chance, number), chance)
        if faults(seen):
            return number
    return None


def flaky(rate: float, fault: float = 0.0) -> Callable[[random.Random, int], Callable[[str], Json]]:
    """Each answer is odd with this rate, of either backend; async is wrong on a share of the requests."""

    def of_request(chance: random.Random, number: int) -> Callable[[str], Json]:
        wrong = chance.random() < fault

        def ask(side: str) -> Json:
            return {"a": "odd" if chance.random() < rate else "wrong" if wrong and side == "async" else "x"}

        return ask

    return of_request


def test_rare_noise_is_never_called_a_fault() -> None:
    found = [watch(flaky(1 / 500), 1500, seed) for seed in range(20)]
    assert found.count(None) >= 19


def test_a_fault_of_one_in_a_thousand_is_found_at_its_first_occurrence() -> None:
    found = [watch(flaky(1 / 500, fault=1 / 1000), 8000, seed) for seed in range(25)]
    numbers = [each for each in found if each is not None]
    assert len(numbers) >= 24
    assert 300 <= median(numbers) <= 1500  # the first such request comes after 693, in the median


def ticking(chance: random.Random, number: int) -> Callable[[str], Json]:
    """Async is slow, and a counter ticks between any two answers now and then."""
    now = [0]

    def ask(side: str) -> Json:
        now[0] += chance.random() < (0.08 if side == "async" else 0.02)
        return {"a": now[0]}

    return ask


def test_a_value_that_ticks_while_a_slow_async_answers_is_noise() -> None:
    assert [watch(ticking, 800, seed) for seed in range(15)] == [None] * 15


def replicas(chance: random.Random, number: int) -> Callable[[str], Json]:
    """One request in 500 meets two replicas that disagree, behind either backend."""
    apart = chance.random() < 1 / 500

    def ask(side: str) -> Json:
        return {"a": apart and chance.random() < 0.5}

    return ask


def test_two_replicas_that_disagree_are_noise() -> None:
    found = [watch(replicas, 1500, seed) for seed in range(20)]
    assert found.count(None) >= 19


def test_many_noisy_places_are_no_more_often_reported_than_one() -> None:
    def ask_of(chance: random.Random, number: int) -> Callable[[str], Json]:
        return lambda side: {f"f{n}": chance.random() < 0.3 for n in range(60)}

    assert [watch(ask_of, 60, seed) for seed in range(8)].count(None) >= 7


def test_an_hour_off_is_found_in_a_time_that_always_differs() -> None:
    def ask_of(chance: random.Random, number: int) -> Callable[[str], Json]:
        def ask(side: str) -> Json:
            hour = 11 if side == "async" else 10
            return {"now": f"2030-01-01T{hour}:00:{chance.randrange(60):02d}Z"}

        return ask

    seen, chance = Observations(), random.Random(1)
    for number in range(40):
        observe(seen, ask_of(chance, number), chance)
    assert faults(seen) == {Mark("now", "distance")}


def test_a_wrong_price_is_found_in_a_shuffled_list() -> None:
    def ask_of(chance: random.Random, number: int) -> Callable[[str], Json]:
        wrong = chance.random() < 0.05

        def ask(side: str) -> Json:
            prices: list[Json] = [1, 2, 3, 4 + (wrong and side == "async")]
            chance.shuffle(prices)
            return {"prices": prices}

        return ask

    seen, chance = Observations(), random.Random(2)
    for number in range(200):
        observe(seen, ask_of(chance, number), chance)
    assert faults(seen) == {Mark("prices[]", "multiset")}
