from __future__ import annotations

import random
from math import comb, exp, log
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.evidence.sequential import (
    CONFIDENCE,
    PLACES,
    AtRisk,
    Trial,
    above,
    below,
    failing_on_async,
    log_mean_exp,
    missing_units,
    no_worse,
    no_worse_units,
    one_sided,
    place_threshold,
    sample_ratio,
    smallest_b,
    upper_bound,
)


@pytest.mark.parametrize(
    ("b", "c", "e"),
    [
        # The integral 2 * int (2p)^b (2-2p)^c dp from 1/2 to 1, by the midpoint rule with 200,000 steps.
        (0, 5, 0.166666667),
        (5, 0, 10.5),
        (7, 3, 1.375757576),
        (20, 10, 2.224093349),
        (3, 20, 0.054700734),
        (10, 0, 2047 / 11),  # by hand: (2^11 - 1) / 11
        (0, 0, 1.0),
    ],
)
def test_the_evidence_of_a_noisy_place_is_the_integral(b: int, c: int, e: float) -> None:
    assert exp(one_sided(b, c)) == pytest.approx(e, rel=1e-6)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_evidence_of_a_noisy_place_is_a_fair_bet(b: int, c: int) -> None:
    """Under a fair coin the next pair neither raises nor lowers it on average: a martingale."""
    after = (exp(one_sided(b + 1, c)) + exp(one_sided(b, c + 1))) / 2
    assert after == pytest.approx(exp(one_sided(b, c)), rel=1e-9)


@pytest.mark.parametrize(("b", "c"), [(10**6, 10**6), (10**6, 0), (0, 10**6), (600_000, 400_000)])
def test_big_counts_neither_overflow_nor_lose_their_sign(b: int, c: int) -> None:
    assert (one_sided(b, c) > 0) == (b > 1.1 * c)


def test_all_places_together_are_reported_wrongly_with_a_chance_of_one_percent() -> None:
    chance = sum(exp(-place_threshold(i)) for i in range(1, 100_000))
    assert chance == pytest.approx(1 / PLACES, rel=1e-3)


def test_looking_after_every_pair_raises_no_false_alarm() -> None:
    """The exact test at 1 % that was used before rings in 10 % of such runs of 2,000 pairs."""
    alarms = 0
    for seed in range(100):
        chance, b, c = random.Random(seed), 0, 0
        for _ in range(600):
            odd = chance.random() < 0.5
            b, c = b + odd, c + (not odd)
            if one_sided(b, c) >= place_threshold(1):
                alarms += 1
                break
    assert alarms <= 3  # expected at most 1 in 200 at this threshold


def test_a_real_difference_is_reported_and_the_smallest_b_is_just_enough() -> None:
    least = smallest_b(3, place_threshold(1), 1000)
    assert least is not None
    assert one_sided(least, 3) >= place_threshold(1) > one_sided(least - 1, 3)
    assert smallest_b(3, place_threshold(1), least - 1) is None


def test_bounds_take_the_units_that_are_stated() -> None:
    assert missing_units(0, 0, 0.01) == 357
    assert missing_units(0, 0, 0.02) == 178
    assert upper_bound(0, 357) == pytest.approx(0.01, rel=1e-2)
    assert upper_bound(0, 356) > 0.01
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1.0


@given(st.integers(0, 30), st.integers(1, 3000), st.sampled_from([0.002, 0.01, 0.02, 0.1]))
def test_what_is_missing_is_what_it_takes(k: int, n: int, q: float) -> None:
    more = missing_units(min(k, n), n, q)
    assert below(min(k, n), n + more, q) >= CONFIDENCE
    assert more == 0 or below(min(k, n), n + more - 1, q) < CONFIDENCE


def test_a_bound_holds_however_often_it_is_looked_at() -> None:
    """At a true rate of q, it is ever stated to be lower in fewer than one run of 20."""
    wrong = 0
    for seed in range(150):
        chance, k = random.Random(seed), 0
        for n in range(1, 1500):
            k += chance.random() < 0.02
            if below(k, n, 0.02) >= CONFIDENCE:
                wrong += 1
                break
    assert wrong <= 13  # one in 20, and two standard deviations


def epoch(seed: int, odds: float, weight: float = 0.2) -> Trial:
    """One epoch of 1,000 units of which one in fifty fails on legacy, reported ten at a time."""
    chance, trial = random.Random(seed), Trial()
    at_risk = {True: 0, False: 0}
    units = [chance.random() < weight for _ in range(1000)]
    for side in units:
        at_risk[side] += 1
    for start in range(0, 1000, 10):
        failed = {True: 0, False: 0}
        for side in units[start : start + 10]:
            failed[side] += chance.random() < (0.02 * odds if side else 0.02)
        trial = trial.after(AtRisk(at_risk[False], at_risk[True], failed[False], failed[True]))
        for side in failed:
            at_risk[side] -= failed[side]
    return trial


def test_a_trial_of_equals_is_rolled_back_seldom_and_a_failing_one_soon() -> None:
    same = [epoch(seed, 1.0).log_e for seed in range(100)]
    assert sum(each >= log(20) for each in same) <= 5
    worse = [epoch(seed, 10.0).log_e for seed in range(20)]
    assert min(worse) >= log(20)


def test_failures_of_one_report_are_one_event() -> None:
    """By hand: both units fail, one on either side; that says nothing."""
    trial = Trial()
    trial = trial.after(AtRisk(1, 1, 1, 1))
    assert trial.log_e == pytest.approx(0.0, abs=1e-12)
    # Of 3 on legacy and 1 on async one fails, on async: r / ((3 + r) / 4), by hand for each ratio.
    trial = trial.after(AtRisk(3, 1, 0, 1))
    ratios = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    assert exp(trial.log_e) == pytest.approx(sum(4 * r / (3 + r) for r in ratios) / len(ratios))


@given(st.integers(1, 60), st.integers(1, 300), st.data())
def test_an_event_of_many_is_the_whole_distribution(async_: int, legacy: int, data: st.DataObject) -> None:
    """Against the sum over all ways to share the failures out, in whole numbers."""
    on_async = data.draw(st.integers(0, async_))
    failed = on_async + data.draw(st.integers(0 if on_async else 1, legacy))
    whole = sum(comb(async_, j) * comb(legacy, failed - j) * 3**j for j in range(failed + 1))
    seen = AtRisk(legacy, async_, failed - on_async, on_async)
    expected = log(whole) - log(comb(async_ + legacy, failed)) - on_async * log(3)
    assert no_worse_units(seen, 3.0) == pytest.approx(expected, abs=1e-9)


def test_an_event_of_tens_of_thousands_is_summed_soon() -> None:
    began = process_time()
    assert Trial().after(AtRisk(70_000, 10_000, 35_000, 5_000)).log_e < 0
    assert Trial().after(AtRisk(70_000, 10_000, 30_000, 9_000)).log_e > 1000
    assert process_time() - began < 0.5


def test_evidence_of_a_rate_that_is_too_high() -> None:
    assert above(0, 0, 0.01) == above(5, 5, 1.0) == 0.0
    assert above(4, 20, 0.01) > log(1000) > above(2, 20, 0.01)
    assert above(10, 1000, 0.01) < 0.5
    assert above(40, 40, 0.01) > 100


def test_a_margin_forgives_what_lies_within_it() -> None:
    """One of 3 and 1 fails, on async: r / m * (3 + m) / (3 + r) by hand for the ratios above m = 5."""
    trial = Trial(margin=5.0)
    trial = trial.after(AtRisk(3, 1, 0, 1))
    expected = sum(r / 5 * 8 / (3 + r) for r in (10.0, 20.0, 50.0, 100.0)) / 4
    assert exp(trial.log_e) == pytest.approx(expected)


def test_a_side_with_nobody_at_risk_is_no_evidence() -> None:
    trial = Trial()
    trial = trial.after(AtRisk(0, 50, 0, 20))
    trial = trial.after(AtRisk(50, 0, 20, 0))
    assert trial.log_e == 0.0


def test_sums_of_requests_are_judged_on_the_safe_side() -> None:
    """Against the exact distribution of how many of 6 failures among 10 + 10 requests are on async."""
    mean = sum(
        comb(10, x) * comb(10, 6 - x) / comb(20, 6) * exp(failing_on_async(x, 6, 0.5, 3.0)) for x in range(7)
    )
    assert 0.5 < mean <= 1.0


def test_no_worse_is_the_inverse_and_needs_failures() -> None:
    assert no_worse(0, 0, 0.5, 1.5) == 0.0
    assert exp(no_worse(1, 4, 0.5, 1.5)) == pytest.approx((0.5 + 0.5 * 1.5) ** 4 / 1.5)
    assert no_worse(0, 20, 0.5, 1.5) >= CONFIDENCE


def test_a_sample_ratio_that_is_off_is_noticed_and_one_that_is_right_is_not() -> None:
    assert sample_ratio(100, 900, 0.1) < 0
    assert sample_ratio(150, 850, 0.1) >= log(1000)
    # By hand: one unit on async at an expected 1/2 from a symmetric prior is no evidence at all.
    assert sample_ratio(1, 0, 0.5) == pytest.approx(0.0, abs=1e-9)


def test_means_of_logarithms_do_not_overflow() -> None:
    assert log_mean_exp([2000.0, 2000.0 + log(3.0)]) == pytest.approx(2000.0 + log(2.0))
    assert log_mean_exp([float("-inf"), float("-inf")]) == float("-inf")
