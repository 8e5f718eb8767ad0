from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.evidence.units import dealt
from proxy.core.rollout.facts import ParitySeen
from proxy.core.rollout.position import watched
from proxy.core.settings import Advance
from tests.core.rollout.support import PLAN, Story, clean, first, some


def test_it_begins_when_its_phase_opens_and_not_before() -> None:
    story = Story()
    story.look(phase_blocked_by="GET /y is not done")
    assert (story.position.state, story.position.weight) == ("waiting", 0)
    assert "GET /y is not done" in story.position.reason
    story.look()
    assert (story.position.state, story.position.weight, story.position.step) == ("running", 0, 0)
    assert [change.why for change in story.changes] == ["started"]


def test_a_first_step_that_moves_users_waits_like_any_other() -> None:
    story = Story(replace(PLAN, steps=(100, 10_000)))
    story.look(frozen="month's end")
    assert (story.position.state, story.position.weight) == ("waiting", 0)
    story.look(in_hours=False)
    assert story.position.weight == 0
    story.look()
    assert story.position.weight == 100


def test_it_leaves_0_after_dwell_once_there_is_traffic() -> None:
    story = Story()
    story.look()
    assert story.look(599).position.weight == 0
    after = story.look(1000)
    assert (after.position.state, after.position.weight) == ("holding", 0)
    assert "any request at all" in after.missing
    assert after.eta_seconds is None
    clean(story, 0, 500)
    assert story.look(1).position.weight == 100


@pytest.mark.parametrize(
    ("weight", "target", "needed"), [(100, 500, 16), (500, 2500, 357), (2500, 5000, 357)]
)
def test_it_rises_on_the_users_that_the_bound_takes_and_not_on_one_less(
    weight: int, target: int, needed: int
) -> None:
    for users, reached in ((needed - 1, weight), (needed, target)):
        story = clean(Story().at(weight), users, 400)
        story.look(300)
        assert story.position.weight == weight
        story.look(300)
        assert story.position.weight == reached, users
    assert story.changes[-1].why == "evidence"


def test_the_last_step_takes_357_clean_users() -> None:
    story = clean(Story().at(5000), 356)
    after = story.look(600)
    assert (after.position.state, after.position.weight) == ("holding", 5000)
    assert "1 more users on async" in after.missing[0]
    story = clean(Story().at(5000), 357)
    assert story.look(600).position.weight == 10_000


def test_what_is_needed_is_what_is_asked_for_at_the_next_weight() -> None:
    story = Story(replace(PLAN, advance=Advance(slower=1.2, parity=0.02)))
    nobody = {"failing": None, "no_worse": None, "slower": None, "parity": 0.02}
    assert story.look().needed == nobody
    needed = story.at(100).look().needed
    assert needed == pytest.approx({"failing": 0.2, "no_worse": 20.0, "slower": 20.0, "parity": 0.02})


def test_a_doubt_about_legacy_is_said_and_holds_nothing() -> None:
    story = clean(Story().at(500))
    assert story.look(300, legacy_capacity="legacy is small").doubt == "legacy is small"
    assert story.look(300, legacy_capacity="legacy is small").position.weight == 2500
    assert "in doubt: legacy is small" in story.position.reason


def test_failures_on_both_sides_alike_are_no_reason_to_hold_if_they_are_many() -> None:
    """2 % fail everywhere, so the bound of 1 % is out of reach; that async is no worse can be shown."""
    story = clean(Story().at(5000), 20_000, 20_000)
    story.look(1)
    failing = some(5000, 400, 400)
    for part in range(1, 41):
        story.sees(
            story.units.active,
            first(failing & dealt(0, 5000), 10 * part) | first(failing & dealt(5000, 10_000), 10 * part),
        )
        story.look(1)
    after = story.look(600)
    assert after.position.weight == 10_000
    assert (after.bounds["failing"] or 0) == 1.0  # of the new step, where nothing is known


def test_one_failing_user_that_legacy_does_not_have_takes_the_discount_away() -> None:
    """88 clean users would do at 5 %. With one that failed, the bound has to come down to 1 % itself."""
    story = clean(Story().at(500), 300, 5000)
    story.look(1)
    story.sees(story.units.active, some(500, 1, 0))
    after = story.look(600)
    assert (after.position.state, after.position.weight) == ("holding", 500)
    assert "since more fail on async than on legacy" in after.missing[0]
    assert after.needed["failing"] == pytest.approx(0.01)  # its bar is not full either
    assert (after.bounds["failing"] or 0) > 0.01
    story.sees(dealt(0, 100) | dealt(9000, 10_000))
    assert story.look(600).position.weight == 2500


def test_a_dead_async_comes_back_after_three_users() -> None:
    story = clean(Story().at(100), 20, 2000)
    story.look(1)
    for count in (1, 2):
        story.sees(story.units.active, some(100, count, 0))
        assert story.look(1).position.weight == 100
    story.sees(story.units.active, some(100, 3, 0))
    after = story.look(1)
    assert (after.position.state, after.position.weight, after.position.step) == ("rolled_back", 0, 0)
    assert "3 of 20 users on async, 0 of 2000 on legacy" in after.position.reason
    change = after.changes[-1]
    assert (change.to, change.why, change.before, change.weight) == ("rolled_back", "failing", 100, 0)
    assert change.evidence["threshold"] == pytest.approx(2 * 2 / 0.001)
    assert not watched(after.position)
    assert story.look(10_000).position == after.position


@pytest.mark.parametrize(
    "facts",
    [
        {"frozen": "audit"},
        {"in_hours": False},
        {"unavailable": "the state database is away"},
        {"breaker_open": True},
        {"phase_blocked_by": "GET /y was rolled back"},
        {"legacy_worse": "it is slow"},
        {"parity": ParitySeen("differs")},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_whatever_holds_an_advance_never_holds_a_rollback(facts: dict[str, object]) -> None:
    plan = replace(PLAN, advance=replace(PLAN.advance, parity=0.02))
    story = clean(Story(plan).at(500))
    held = story.look(600, **facts)
    assert (held.position.state, held.position.weight) == ("holding", 500)
    assert held.eta_seconds is None
    for count in (2, 4, 6, 8):
        story.sees(some(500, 400, 2000), some(500, count, 0))
        story.look(1, **facts)
    assert (story.position.state, story.position.weight) == ("rolled_back", 0)


def test_what_is_paused_comes_back_too() -> None:
    story = clean(Story().at(500), 20, 2000)
    story.position = story.position._replace(state="paused")
    assert story.look(600).position.weight == 500
    for count in (3, 6, 9):
        story.sees(some(500, 20, 2000), some(500, count, 0))
        story.look(1)
    assert story.position.state == "rolled_back"


def test_users_that_fail_alike_bring_nothing_back() -> None:
    """A shared outage: all 40 on async and all 760 on legacy fail, in any order of reports."""
    story = clean(Story().at(500), 40, 760)
    story.look(1)
    for part in range(1, 21):
        story.sees(story.units.active, some(500, 2 * part, 38 * part))
        story.look(1)
    assert story.position.state == "running"


@pytest.mark.parametrize("kind", ["refused", "slower"])
def test_each_kind_rolls_back(kind: str) -> None:
    story = clean(Story(replace(PLAN, advance=Advance(parity=None))).at(100), 20, 2000)
    story.look(1)
    for count in range(1, 7):
        story.sees(story.units.active, **{kind: some(100, count, 0)})
        story.look(1)
    assert (story.position.state, story.changes[-1].why) == ("rolled_back", kind)


def test_slowness_does_not_count_where_it_is_not_asked() -> None:
    story = clean(Story().at(100), 20, 2000)
    story.look(1)
    story.sees(story.units.active, slower=some(100, 20, 0))
    after = story.look(1)
    assert after.position.state == "running"
    assert after.e_values["slower"] is None


def test_slowness_has_to_be_bounded_where_it_is_asked() -> None:
    story = clean(Story(replace(PLAN, advance=Advance(parity=None))).at(500), 2000, 38_000)
    story.look(1)
    assert story.look(600).position.state == "holding"
    assert "slow no more than 1.8 times as often" in story.look(1).missing[0]
    story.sees(some(500, 2000, 38_000))
    story.look(1)
    needed = 0
    while story.position.weight == 500 and needed < 20:
        needed += 1
        story.sees(story.units.active, slower=some(500, 2 * needed, 38 * needed))
        story.look(1)
    assert (story.position.weight, needed) == (2500, 8)  # 305 users with slow answers, 40 at a time


def test_previous_goes_back_one_step_and_further_if_it_goes_on() -> None:
    story = Story(replace(PLAN, to="previous")).at(2500)
    for weight in (500, 100, 0):
        story.sees(some(story.position.weight, 20, 2000))
        story.look(1)
        for count in (4, 8, 12, 16, 20):
            if story.position.weight != weight:
                story.sees(story.units.active, some(story.position.weight, count, 0))
                story.look(1)
        assert (story.position.state, story.position.weight) == ("rolled_back", weight)


def test_at_100_it_is_done_after_dwell() -> None:
    story = clean(Story().at(10_000), 500, 0)
    assert story.look(599).position.state == "running"
    after = story.look(1)
    assert (after.position.state, after.position.weight, after.target) == ("done", 10_000, None)
    story.sees(story.units.active, some(10_000, 400, 0))
    assert story.look(100).position.state == "done"


def test_at_100_the_time_that_a_breaker_is_open_counts_for_nothing() -> None:
    story = clean(Story().at(10_000), 500, 0)
    story.look(300)
    for _ in range(20):
        assert story.look(60, breaker_open=True).position.state == "holding"
    assert story.look(1).position.state == "running"
    assert story.look(599).position.state == "running"
    assert story.look(1).position.state == "done"


def test_at_100_the_time_of_an_earlier_process_counts_and_that_of_a_pause_does_not() -> None:
    story = clean(Story().at(10_000), 500, 0)
    story.look(599)
    story.position = story.position._replace(state="paused", since=story.now)
    story.look(600)
    story.position = story.position._replace(state="running", since=story.now)
    assert story.look(599).position.state == "running"
    assert story.look(1).position.state == "done"


def test_at_100_a_failure_that_goes_on_comes_back_and_one_of_a_minute_does_not() -> None:
    for lasting in (True, False):
        story = clean(Story().at(10_000), 500, 0)
        story.look(1)
        story.sees(story.units.active, some(10_000, 60, 0))
        story.look(1)
        assert story.position.state == "holding"
        story.look(75)
        story.sees(some(10_000, 500, 0), some(10_000, 60 if lasting else 0, 0))
        story.look(1)
        assert story.position.state == ("rolled_back" if lasting else "holding")
    story.look(600)
    story.look(600)
    assert story.position.state == "done"


def test_approval_is_asked_only_when_all_else_is_there() -> None:
    story = Story(replace(PLAN, approve=frozenset({10_000}))).at(5000)
    assert story.look(600).position.state == "holding"
    clean(story)
    after = story.look(600)
    assert (after.position.state, after.target) == ("approval", 10_000)
    story.position = story.position._replace(approved=10_000)
    after = story.look(1)
    assert (after.position.weight, after.position.approved) == (10_000, None)
    assert after.changes[-1].why == "approved"


def test_many_requests_without_a_key_ask_a_person_before_the_last_step() -> None:
    story = clean(Story().at(5000))
    assert story.look(600, unkeyed_share=0.06).position.state == "approval"
    assert story.look(1, unkeyed_share=0.04).position.weight == 10_000


@pytest.mark.parametrize(
    ("parity", "weight"),
    [
        (None, 500),
        (ParitySeen("not yet known", 0.05, 60.0), 500),
        (ParitySeen("likely equal", 0.03), 500),
        (ParitySeen("likely equal", 0.02), 2500),
    ],
)
def test_parity_is_asked_where_the_plan_asks(parity: ParitySeen | None, weight: int) -> None:
    story = clean(Story(replace(PLAN, advance=replace(PLAN.advance, parity=0.02))).at(500))
    assert story.look(600, parity=parity).position.weight == weight


def test_a_sample_ratio_that_is_off_holds() -> None:
    story = clean(Story().at(5000), 400, 700)
    story.look(1)
    after = story.look(598)
    assert after.position.state == "holding"
    assert "share of the users" in after.position.reason


def test_a_step_that_moves_nobody_is_skipped() -> None:
    story = Story()
    story.look()
    story.sees(first(dealt(600, 2400), 10) | first(dealt(9000, 10_000), 10))
    story.look(600)
    assert (story.position.weight, story.position.step) == (2500, 3)


@pytest.mark.parametrize("users", [1, 19])
def test_no_step_is_skipped_for_the_few_who_were_here(users: int) -> None:
    story = Story()
    story.look()
    story.sees(first(dealt(9000, 10_000), users))
    story.look(600)
    assert story.position.weight == 100


def test_no_step_is_skipped_for_the_first_who_come_after_a_silence() -> None:
    story = Story()
    story.look()
    story.look(3000)
    story.sees(first(dealt(9000, 10_000), 50))
    assert story.look(1).position.weight == 100


def test_a_skipped_step_is_still_agreed_to() -> None:
    story = Story(replace(PLAN, approve=frozenset({500})))
    story.look()
    story.sees(first(dealt(600, 2400), 30))
    assert story.look(600).position.state == "approval"


def test_writes_without_keys_move_with_the_last_step_only() -> None:
    story = Story()
    story.look()
    story.sees(0, legacy=(500, 5, 0, 0))
    after = story.look(600, unkeyed_dealt=False, unkeyed_share=1.0)
    assert (after.position.state, after.target) == ("approval", 10_000)


def test_a_plan_with_other_steps_goes_on_from_the_weight_in_force() -> None:
    story = clean(Story().at(500))
    story.plan = replace(PLAN, steps=(100, 1000, 10_000))
    assert story.look(1).position.weight == 500
    assert story.look(600).position.weight == 1000


def test_reports_of_another_epoch_say_nothing() -> None:
    story = Story().at(100)
    stale = some(100, 20, 2000)
    story.sees(stale, some(100, 20, 0))
    units = story.units._replace(epoch="1.0.0")
    assert story.look(1, units=units).position.state == "running"
    assert story.evidence.now.active == 0


def test_doubt_about_legacy_is_said_and_does_not_hold() -> None:
    story = clean(Story().at(500))
    after = story.look(600, legacy_capacity="legacy has a tenth of its traffic")
    assert after.position.weight == 2500
    assert "in doubt: legacy has a tenth" in after.changes[-1].text


def test_what_is_missing_has_an_end_in_sight() -> None:
    story = clean(Story().at(5000), 100, 100)
    after = story.look(599)
    assert after.eta_seconds == pytest.approx(1 + 257 / (100 / 599), rel=0.01)
    assert any("257" in text or "357" in text for text in after.missing)


def test_of_too_few_units_it_says_never() -> None:
    """At 0.1 % there are 80 units on async; 357 would be needed."""
    plan = replace(PLAN, steps=(0, 10, 2500, 10_000))
    story = clean(Story(plan).at(10), 60, 400)
    assert story.look(600).eta_seconds is None


def test_the_same_question_has_the_same_answer() -> None:
    story = clean(Story().at(500))
    before = (story.position, story.evidence)
    one = story.look(600)
    story.position, story.evidence = before
    assert story.look(0).position == one.position


def test_a_reason_that_differs_in_figures_alone_is_not_stored_again() -> None:
    """The position is a row of the database; it is written when something has changed."""
    story = Story().at(500)
    story.look(1, legacy_worse="p95 is 210 ms")
    before = story.position
    assert story.look(1, legacy_worse="p95 is 213.5 ms").position == before
    assert "2 errors" in story.look(1, legacy_worse="2 errors a second").position.reason
