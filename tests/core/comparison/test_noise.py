from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.comparison import noise
from proxy.core.comparison.differences import walk
from proxy.core.comparison.noise import (
    ALPHA,
    ENOUGH_TWICE,
    LASTING,
    MAX_PATHS,
    MIN_COMPARED,
    MIN_TWICE,
    MISSED,
    Observations,
    Parity,
    detectable,
    holm,
    mcnemar,
    shape_of,
    share_twice,
    upper_bound,
)
from proxy.core.documents.exactjson import Json

Document = dict[str, Json]


def document(chance: random.Random) -> Document:
    """With a noisy timestamp, a random id, a list in any order, a number that drifts; and a total."""
    tags: list[Json] = ["a", "b", "c"]
    chance.shuffle(tags)
    return {
        "id": f"{chance.getrandbits(128):032x}",
        "at": f"2030-01-01T10:00:{chance.randrange(60):02d}Z",
        "tags": tags,
        "seen": 100 + (chance.random() < 0.1),
        "total": Decimal("12.34"),
        "owner": "x",
    }


def rounds_wrong(rate: float) -> Callable[[Document, random.Random], None]:
    def fault(found: Document, chance: random.Random) -> None:
        if chance.random() < rate:
            found["total"] = Decimal("12.35")

    return fault


def lacks_owner(found: Document, chance: random.Random) -> None:
    del found["owner"]


def drifts_more(found: Document, chance: random.Random) -> None:
    found["seen"] = 100 + (chance.random() < 0.3)


def loses_the_zone(found: Document, chance: random.Random) -> None:
    found["at"] = f"{str(found['at'])[:-1]} UTC"


def watch(
    n: int, *faults: Callable[[Document, random.Random], None], seed: int = 1, twice: float = 0.5
) -> Parity:
    chance = random.Random(seed)
    seen = Observations()
    for _ in range(n):
        legacy, again, async_ = (document(chance) for _ in range(3))
        for fault in faults:
            fault(async_, chance)
        seen.add(walk(legacy, async_), walk(legacy, again) if chance.random() < twice else None)
    return seen.parity()


def faults(evidence: Parity) -> Iterator[tuple[str, bool]]:
    return ((each.path, each.shape) for each in evidence.paths if each.verdict == "fault")


@pytest.mark.parametrize("seed", range(10))
def test_noise_alone_is_never_reported(seed: int) -> None:
    evidence = watch(400, seed=seed)
    assert list(faults(evidence)) == []
    assert evidence.verdict == "likely equal"
    assert {each.path for each in evidence.paths} == {"id", "at", "tags[]", "seen"}


def test_both_planted_faults_are_found_at_the_n_that_is_stated_and_nothing_else() -> None:
    n = 3000  # the evidence of so many says that it misses a fault of one in a thousand in one run of 20
    assert upper_bound(0, n) <= 0.001
    found = []
    for seed in range(8):
        evidence = watch(n, rounds_wrong(0.001), lacks_owner, seed=seed)
        assert set(faults(evidence)) <= {("total", False), ("owner", False)}
        assert (evidence.verdict, evidence.n, evidence.k) == ("differs", n, n)
        found.append(len(set(faults(evidence))))
    assert found.count(2) >= 7


def test_a_fault_on_a_noisy_path_is_found_at_the_rate_that_is_stated() -> None:
    quiet = {each.path: each for each in watch(2000).paths if not each.shape}
    assert 0 < quiet["seen"].sees < 0.2  # the planted difference of rates
    assert list(faults(watch(2000, drifts_more))) == [("seen", False)]


def test_an_always_noisy_path_is_compared_by_shape() -> None:
    found = {(each.path, each.shape): each for each in watch(400, loses_the_zone).paths}
    assert found["at", False].verdict == "noise"
    assert found["at", True].verdict == "fault"
    assert ("id", True) not in found


def test_few_samples_are_no_evidence() -> None:
    assert Observations().parity() == Parity("no evidence", 0, 0, 0, 1.0, ())
    assert watch(MIN_COMPARED - 1).verdict == "no evidence"


def test_without_second_answers_of_legacy_noise_is_not_told_from_faults() -> None:
    evidence = watch(500, lacks_owner, twice=0.0)
    assert (evidence.verdict, evidence.m) == ("no evidence", 0)
    assert {each.verdict for each in evidence.paths} == {"untested"}


def test_the_verdict_says_how_sure_one_may_be() -> None:
    seen = Observations()
    for _ in range(300):
        seen.add([], [])
    evidence = seen.parity()
    assert str(evidence) == "likely equal (bound 0.99 %)"
    assert evidence.paths == ()


def test_memory_is_bounded_and_what_is_beyond_still_counts() -> None:
    seen = Observations()
    for number in range(3 * MAX_PATHS):
        seen.add(walk({}, {f"k{number}": 1}), [])
    evidence = seen.parity()
    assert len(evidence.paths) <= MAX_PATHS + 1
    assert evidence.paths[0].path == "..."
    assert evidence.paths[0].differed == 2 * MAX_PATHS


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_exact(b: int, c: int) -> None:
    exact = Fraction(sum(comb(b + c, i) for i in range(b, b + c + 1)), 2 ** (b + c))
    assert mcnemar(b, c) == pytest.approx(float(exact), rel=1e-9)


@given(st.integers(0, 400), st.integers(1, 400), st.fractions(0, 1, max_denominator=1000))
def test_a_binomial_tail_is_that_of_exact_fractions(k: int, n: int, p: Fraction) -> None:
    exact = sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(min(k, n) + 1)), Fraction(0))
    assert noise._at_most(k, n, float(p)) == pytest.approx(float(exact), rel=1e-6, abs=1e-12)


def test_the_work_does_not_grow_with_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page asks for this while people wait: it took minutes for some hundred noisy fields."""
    terms: list[int] = []

    def counted(*of: int) -> Iterator[int]:
        for number in range(*of):
            terms.append(number)
            yield number

    monkeypatch.setattr(noise, "range", counted, raising=False)
    detectable(100_000, 10_000, 100)
    assert len(terms) < 100_000


def test_holm_corrects_by_rank_and_never_decreases() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 300), (0, 3000), (1, 100), (5, 50), (49, 50), (40, 50)])
def test_bounds_are_clopper_and_pearsons(k: int, n: int) -> None:
    rate = Fraction(upper_bound(k, n))
    chance = sum(comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k + 1))
    assert float(chance) == pytest.approx(MISSED, rel=1e-6)


def test_nothing_seen_or_nothing_equal_bounds_nothing() -> None:
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1.0


def test_what_can_be_seen_grows_with_samples_and_shrinks_with_noise() -> None:
    assert detectable(10_000, 5, 1) < detectable(1000, 5, 1) < detectable(1000, 50, 1) < 1
    assert detectable(1000, 5, 1) < detectable(1000, 5, 20)
    assert detectable(3, 0, 1) == 1.0
    assert mcnemar(7, 0) <= ALPHA < mcnemar(6, 0)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("2030-01-01T10:00:00.123+02:00", "time"),
        ("6f1c2a3b-0000-4000-8000-0123456789ab", "uuid"),
        ("-12.34", "number"),
        ("00ff", "word"),
        ("1234", "word"),
        ("two words", "text"),
        (12, "integer"),
        (Decimal("1.5"), "decimal"),
        (None, "null"),
        ([], "array"),
    ],
)
def test_shapes(value: Json, shape: str) -> None:
    assert shape_of(value, absent=False) == shape
    assert shape_of(value, absent=True) == "absent"


def drift(rate: float, seed: int) -> Iterator[tuple[Document, Document, Document, set[str]]]:
    """Answers with a time that moves on between two requests now and then; legacy's first, second, async's.

    With the paths on which nothing lasts when both are asked once more.
    """
    chance = random.Random(seed)
    while True:
        first, again, async_ = ({"at": f"10:00:{chance.random() < rate:02d}"} for _ in range(3))
        gone = {"at"} if first != async_ else set()  # later both say another time
        yield first, again, async_, gone


@pytest.mark.parametrize("seed", range(20))
def test_rare_noise_that_met_async_first_is_not_reported_at_any_time(seed: int) -> None:
    chance = random.Random(seed)
    seen = Observations()
    for number, (first, again, async_, gone) in enumerate(drift(0.005, seed)):
        ours = list(walk(first, async_))
        twice = chance.random() < share_twice(seen)
        seen.add(ours, walk(first, again) if twice else None, gone & seen.suspects(ours))
        if number % 50 == 0:
            assert list(faults(seen.parity())) == []
        if number == 1500:
            break


def test_a_difference_that_lasts_counts_at_once_though_others_were_gone() -> None:
    seen = Observations()
    for _ in range(MIN_TWICE):
        seen.add([], [])
    one = list(walk({"a": 1}, {"a": 2}))
    seen.add(one, None, seen.suspects(one))
    assert seen.parity().paths[0].verdict == "noise"
    seen.add(one, None)
    assert seen.parity().paths[0].verdict == "fault"


def test_differences_that_never_last_count_where_async_has_too_many_of_them() -> None:
    seen = Observations()
    one = list(walk({"a": 1}, {"a": 2}))
    verdicts = []
    for _ in range(10):
        for _ in range(9):
            seen.add([], [])
        seen.add(one, None, {"a"})
        verdicts.append(seen.parity().paths[0].verdict)
    assert verdicts[0] == "noise"
    assert verdicts[-1] == "fault"
    assert sorted(verdicts, reverse=True) == verdicts


def test_what_is_known_to_last_or_to_be_noise_is_not_asked_once_more() -> None:
    seen = Observations()
    lasting, noisy = list(walk({"a": 1}, {"a": 2})), list(walk({"b": 1}, {"b": 2}))
    assert seen.suspects([*lasting, *noisy]) == {"a", "b"}
    for _ in range(LASTING):
        seen.add(lasting, None)
    seen.add([], noisy)
    assert seen.suspects([*lasting, *noisy]) == set()


def test_legacy_is_asked_twice_less_often_once_enough_is_known() -> None:
    seen = Observations()
    assert share_twice(seen) == 0.5
    seen.add(walk({"a": 1}, {"a": 2}), None)
    assert share_twice(seen) == 1.0
    quiet = Observations(1000, ENOUGH_TWICE)
    assert share_twice(quiet) == 0.1
