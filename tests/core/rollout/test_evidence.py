from __future__ import annotations

import json
from dataclasses import replace
from math import exp

import pytest

from proxy.core.evidence.sequential import RATIOS
from proxy.core.evidence.units import dealt
from proxy.core.rollout.evidence import Windows, epoch_seconds, from_json, slower_ratios
from proxy.core.settings import Advance
from tests.core.rollout.support import PLAN, Story, first, some


def test_an_epoch_is_no_longer_than_dwell_and_no_shorter_than_a_second() -> None:
    assert [epoch_seconds(replace(PLAN, dwell=dwell)) for dwell in (0.0, 8.0, 3600.0)] == [1.0, 8.0, 600.0]


@pytest.mark.parametrize("slower", [None, 1.2])
def test_the_threshold_grows_with_epochs_kinds_and_endpoints(slower: float | None) -> None:
    story = Story(replace(PLAN, advance=Advance(slower=slower, parity=None))).at(100)
    kinds = 3 if slower else 2
    for k in (1, 2, 3):
        evidence = replace(story.evidence, spent=k - 1, endpoints=10)
        assert exp(evidence.threshold(story.plan)) == pytest.approx(k * (k + 1) * kinds * 10 / 0.001)


def test_one_failure_is_worth_what_the_formula_says() -> None:
    """By hand: 20 of 2,020 at risk are on async, and one of those fails."""
    story = Story().at(100)
    story.sees(some(100, 20, 2000), some(100, 1, 0))
    after = story.look(1)
    p = 20 / 2020
    assert after.e_values["failing"] == pytest.approx(sum(r / (1 - p + r * p) for r in RATIOS) / len(RATIOS))


def test_a_user_counts_once_however_often_it_fails() -> None:
    story = Story().at(100)
    story.sees(some(100, 20, 2000), some(100, 1, 0))
    once = story.look(1).e_values
    story.sees(some(100, 20, 2000), some(100, 1, 0))
    assert story.look(1).e_values == once


def test_a_new_epoch_forgets_the_outage_and_the_step_does_not_forget_the_fault() -> None:
    story = Story().at(100)
    story.sees(some(100, 20, 2000), some(100, 2, 0))
    before = story.look(1).e_values["failing"] or 0
    story.look(600)
    after = story.look(1).e_values["failing"] or 0
    assert after == pytest.approx((before + 1) / 2)  # the mean of the step's and the new epoch's, which is 1
    assert story.evidence.number == 2
    # All fail in an outage, and again in the next epoch on async alone: that is news to the epoch.
    story.sees(some(100, 20, 2000), some(100, 20, 2000))
    story.look(600)
    story.look(1)
    assert story.evidence.in_epoch[0].log_e == 0.0
    story.sees(some(100, 20, 2000), some(100, 2, 0))
    story.look(1)
    assert exp(story.evidence.in_epoch[0].log_e) == pytest.approx(before)


def test_an_epoch_without_a_failure_costs_the_later_ones_nothing() -> None:
    story = Story().at(100)
    for _ in range(5):
        story.sees(some(100, 5, 500))
        story.look(600)
    assert story.position.epoch > 5
    assert story.evidence.number == 1


def test_a_window_is_a_units_first_epoch_in_the_step() -> None:
    story = Story().at(500)
    early, late = first(dealt(0, 500), 10), first(dealt(100, 500), 30)
    story.sees(early, first(early, 1))
    story.look(1)
    assert story.evidence.windows == Windows()
    story.look(599)
    assert story.evidence.windows == Windows(0, 0, 10, 1)
    story.sees(early | late, early | first(late, 3))  # `early` fails later: its window is over
    story.look(600)
    assert story.evidence.windows == Windows(0, 0, 10 + 30, 1 + 3)


def test_requests_without_a_key_are_each_a_unit() -> None:
    story = Story().at(500)
    story.sees(0, legacy=(190, 3, 0, 0), async_=(10, 1, 0, 0))
    story.look(1)
    once = story.evidence.log_e("failing")
    by_hand = sum(r / (0.95 + 0.05 * r) ** 4 for r in RATIOS) / len(RATIOS)
    assert exp(once) == pytest.approx(by_hand)
    story.look(599)
    assert story.evidence.windows == Windows(190, 3, 10, 1)


def test_requests_that_the_weight_does_not_deal_are_no_trials() -> None:
    story = Story().at(500)
    story.sees(0, legacy=(1000, 30, 0, 0))
    story.look(1, unkeyed_dealt=False)
    assert story.evidence.log_e("failing") == 0.0


def test_counts_that_went_back_are_not_counted_twice() -> None:
    """The control process was started anew, and a worker has gone with its counts."""
    story = Story().at(500)
    story.sees(0, legacy=(190, 3, 0, 0), async_=(10, 1, 0, 0))
    story.look(1)
    before = story.evidence.log_e("failing")
    story.sees(0, legacy=(100, 1, 0, 0), async_=(5, 1, 0, 0))
    story.look(1)
    assert story.evidence.log_e("failing") == before


def test_slowness_is_forgiven_as_far_as_few_users_meet_it() -> None:
    plan = replace(PLAN, advance=Advance(slower=1.2))
    assert slower_ratios(plan, 500) == pytest.approx({2500: 1.8, 5000: 1.4, 10_000: 1.2})
    assert slower_ratios(PLAN, 500) == {}


def test_evidence_goes_through_json_and_on() -> None:
    plan = replace(PLAN, advance=Advance(parity=None))
    story = Story(plan).at(500)
    story.sees(
        some(500, 300, 3000),
        some(500, 2, 20),
        slower=some(500, 5, 60),
        legacy=(9, 1, 0, 0),
        async_=(1, 0, 0, 0),
    )
    story.look(600)
    story.sees(some(500, 200, 2000), some(500, 1, 9))
    story.look(1)
    again = from_json(plan, json.loads(json.dumps(story.evidence.as_json())))
    assert again.as_json() == story.evidence.as_json()
    other = Story(plan)
    other.position, other.evidence, other.now = story.position, again, story.now
    for each in (story, other):
        each.sees(some(500, 250, 2500), some(500, 4, 12))
        each.look(1)
    assert other.evidence.as_json() == story.evidence.as_json()
    assert other.position == story.position


@pytest.mark.parametrize("broken", [{}, {"attempt": 1}, {"now": "x"}, {"counted": "!"}, {"windows": [1]}])
def test_something_else_is_not_taken_for_evidence(broken: dict[str, object]) -> None:
    whole = Story().at(500).evidence.as_json()
    with pytest.raises(ValueError):
        from_json(PLAN, {**whole, **broken} if "attempt" not in broken and broken else broken)


def test_what_was_known_of_another_attempt_is_gone() -> None:
    story = Story().at(100)
    story.sees(some(100, 20, 2000), some(100, 2, 0))
    story.look(1)
    later = story.position._replace(attempt=2, epoch=1)
    fresh = story.evidence.placed(PLAN, later, 4)
    assert (fresh.number, fresh.endpoints, fresh.log_e("failing")) == (1, 4, 0.0)
