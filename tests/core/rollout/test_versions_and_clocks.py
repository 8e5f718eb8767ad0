"""Versions of async that come and go, and clocks that do not agree."""

from __future__ import annotations

from dataclasses import replace

from tests.core.rollout.support import PLAN, Story, clean, some


def test_another_version_begins_the_step_again_once_it_is_alone() -> None:
    story = clean(Story().at(500))
    story.look(1, version="1", stable_version_seconds=900.0)
    story.look(500, version="2", stable_version_seconds=3.0)
    assert (story.position.version, story.position.state) == ("1", "holding")
    story.look(60, version="2", stable_version_seconds=63.0)
    assert (story.position.version, story.position.weight) == ("2", 500)
    assert story.changes[-1].why in ("version", "running")
    assert story.evidence.windows.async_ == 0
    clean(story)
    assert story.look(599, version="2", stable_version_seconds=700.0).position.weight == 500
    assert story.look(1, version="2", stable_version_seconds=701.0).position.weight == 2500


def rolled_back(story: Story, **facts: object) -> Story:
    story.at(100)
    for count in (2, 4, 6):
        story.sees(some(100, 20, 2000), some(100, count, 0))
        story.look(1, **facts)
    assert story.position.state == "rolled_back"
    return story


def test_a_new_version_tries_again_from_zero_where_the_plan_says_so() -> None:
    story = rolled_back(Story(replace(PLAN, retry="version")), version="1", stable_version_seconds=900.0)
    story.look(100, version="1", stable_version_seconds=1000.0)
    story.look(1, version="2", stable_version_seconds=59.0)
    assert (story.position.state, story.position.attempt) == ("rolled_back", 1)
    story.look(1, version="2", stable_version_seconds=60.0)
    assert (story.position.state, story.position.attempt, story.position.weight) == ("running", 2, 0)
    assert story.evidence.number == 1


def test_a_new_version_does_nothing_where_a_person_decides() -> None:
    story = rolled_back(Story(), version="1", stable_version_seconds=900.0)
    assert story.look(1, version="2", stable_version_seconds=600.0).position.state == "rolled_back"


def test_the_version_that_failed_is_not_tried_again() -> None:
    """It was rolled back while the new version was taking over."""
    story = Story(replace(PLAN, retry="version"))
    story.look(1, version="1", stable_version_seconds=900.0)
    rolled_back(story, version="2", stable_version_seconds=5.0)
    assert story.look(100, version="2", stable_version_seconds=105.0).position.state == "rolled_back"


def test_a_clock_that_is_set_back_makes_nothing_come_sooner() -> None:
    story = clean(Story().at(500))
    story.look(500)
    story.now -= 3600
    story.look(1)
    assert max(story.position.stepped, story.position.since, story.position.epoch_began) <= story.now
    clean(story)
    assert story.look(598).position.weight == 500
    assert story.look(2).position.weight == 2500


def test_a_clock_that_lags_a_little_behind_the_last_leaders_changes_nothing() -> None:
    story = clean(Story().at(500))
    story.look(1)
    before = story.position
    assert story.look(-3.0).position == before
