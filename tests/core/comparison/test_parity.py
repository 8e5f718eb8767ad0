from __future__ import annotations

import pytest

from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.core.comparison.parity import Parity, ParityCounts, judge, nothing
from proxy.core.evidence.sequential import upper_bound

LASTING = {Mark("a"): Counts(differed=5, lasting=5)}
ALWAYS = {Mark("now"): Counts(differed=100, both=60)}


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (ParityCounts(), "no evidence"),
        (ParityCounts(n=31, m=31, units=31), "not yet known"),
        (ParityCounts(n=177, m=20, units=177), "not yet known"),
        (ParityCounts(n=178, m=20, units=178), "likely equal"),
        (ParityCounts(n=5000, m=20, units=1), "not yet known"),  # one hot user
        (ParityCounts(n=5000, m=20, units=5000, bad=150, differs=150), "not yet known"),
        (ParityCounts(n=5, m=5, units=5, counts=LASTING), "differs"),
        (ParityCounts(n=500, m=60, units=500, counts=ALWAYS), "likely equal"),
    ],
)
def test_verdicts(seen: ParityCounts, verdict: str) -> None:
    assert judge(seen).verdict == verdict


def test_the_limit_is_the_bound_that_counts() -> None:
    seen = ParityCounts(n=178, m=20, units=178)
    assert judge(seen, 0.02).verdict == "likely equal"
    assert judge(seen, 0.01).verdict == "not yet known"
    assert judge(seen, 0.01).missing == 357 - 178
    assert judge(ParityCounts(n=179, m=1, units=179), 0.01).missing == 357 - 179


def test_nothing_at_all_says_how_much_is_missing() -> None:
    assert judge(ParityCounts()) == nothing(0.02)
    assert nothing(0.02).missing == 178


def test_the_headline_says_what_the_bound_cannot_see() -> None:
    noisy = {Mark(f"now{n}"): Counts(differed=5000, both=900) for n in range(3)}
    seen = ParityCounts(5000, 900, noisy, 5500, 0, 0, 9, 0, 12, fields=44)
    found = judge(seen)
    assert str(found) == (
        "likely equal on 41 fields (< 0.065 %); 3 fields can hide any rate; 12 unanswered; 9 differed once"
    )
    assert found.short == "likely equal on 41 fields (< 0.065 %)"


def test_the_headline_of_what_is_not_yet_known_says_how_much_it_needs() -> None:
    assert str(judge(ParityCounts(n=31, m=31, units=31))) == "not yet known (needs about 147 more)"
    assert str(judge(ParityCounts())) == "no evidence"
    assert str(judge(ParityCounts(n=5, m=5, units=5, counts=LASTING))) == "differs"


def test_what_differed_once_and_what_was_not_answered_raise_the_bound() -> None:
    clean, odd = (
        judge(ParityCounts(n=1000, units=1000)),
        judge(ParityCounts(n=1000, units=1000, bad=9, differs=9, once=9)),
    )
    assert odd.bound == upper_bound(9, 1000) > 2 * clean.bound
    assert odd.k == 9


def test_k_counts_samples_with_any_difference() -> None:
    """Ten disjoint faults of 2 % each are one of 20 %."""
    counts = {Mark(f"f{n}"): Counts(differed=20, lasting=20) for n in range(10)}
    found = judge(ParityCounts(n=1000, m=500, counts=counts, units=1000, bad=200, differs=200))
    assert found.k == 200
    assert found.bound > 0.2


def test_a_list_that_is_only_shuffled_hides_nothing() -> None:
    shuffled = {Mark("tags[]"): Counts(differed=500, both=400)}
    assert judge(ParityCounts(n=500, m=400, counts=shuffled, units=500)).hiding == 0
    random = {**shuffled, Mark("tags[]", "multiset"): Counts(differed=500, both=400)}
    assert judge(ParityCounts(n=500, m=400, counts=random, units=500)).hiding == 1


def test_in_what_respect_a_place_differs_is_only_said_where_its_values_are_noise() -> None:
    fault, shape = Counts(differed=9, lasting=9), Counts(differed=9, lasting=9)
    found = judge(ParityCounts(n=90, m=90, counts={Mark("a"): fault, Mark("a", "shape"): shape}, units=90))
    assert [(each.path, each.kind) for each in found.paths] == [("a", "value")]
    noisy = {Mark("a"): Counts(differed=90, both=90), Mark("a", "shape"): shape}
    found = judge(ParityCounts(n=90, m=90, counts=noisy, units=90))
    assert [(each.kind, each.verdict) for each in found.paths] == [("shape", "fault"), ("value", "noise")]


def test_a_noisy_place_says_which_rate_of_faults_would_have_shown() -> None:
    rare = {Mark("a"): Counts(differed=40, b=20, c=20)}
    (found,) = judge(ParityCounts(n=2000, m=1000, counts=rare, units=2000)).paths
    assert (found.verdict, 0.02 < found.sees < 0.1) == ("noise", True)
    assert found.p == 1.0
    later = {Mark(f"x{n}"): Counts(both=1) for n in range(50)} | rare
    (late,) = (each for each in judge(ParityCounts(n=2000, m=1000, counts=later)).paths if each.path == "a")
    assert late.sees > found.sees


def test_a_p_value_is_corrected_for_the_place_and_valid_at_any_time() -> None:
    counts = {Mark("a"): Counts(differed=30, b=30, c=1)}
    (found,) = judge(ParityCounts(n=2000, m=1000, counts=counts, units=2000)).paths
    assert found.p is not None
    assert (found.verdict, found.p < 0.01) == ("fault", True)


def test_programs_find_the_verdict_and_its_figures() -> None:
    found = judge(ParityCounts(n=400, m=100, units=300))
    assert isinstance(found, Parity)
    assert (found.n, found.m, found.k, found.units, found.limit) == (400, 100, 0, 300, 0.02)
