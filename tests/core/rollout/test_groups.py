"""Endpoints of one group and plan go up and down together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.evidence.units import Units, dealt
from proxy.core.rollout.decision import decide_group
from proxy.core.rollout.facts import GroupMember, Next
from tests.core.rollout.support import PLAN, Story, some


def pair(weight: int) -> list[Story]:
    return [Story(endpoint=name).at(weight) for name in ("GET /x", "POST /x")]


def look(stories: list[Story], seconds: float) -> list[Next]:
    now = max(story.now for story in stories) + seconds
    members = []
    for story in stories:
        story.now = now
        same = story.units.epoch == story.position.label
        units = story.units if same else Units(story.position.label)
        members.append(
            GroupMember(story.plan, story.position, story.evidence, replace(story.facts, units=units))
        )
    found = decide_group(members, now)
    for story, after in zip(stories, found, strict=True):
        story.position, story.evidence = after.position, after.evidence
        story.changes += after.changes
    return found


def test_nobody_rises_before_all_are_ready() -> None:
    one, other = stories = pair(500)
    one.sees(some(500, 400, 1000))
    look(stories, 600)
    assert [story.position.weight for story in stories] == [500, 500]
    assert one.position.state == "holding"
    assert "waits for POST /x" in one.position.reason
    other.sees(some(500, 400, 1000))
    look(stories, 600)
    assert [story.position.weight for story in stories] == [2500, 2500]


def test_one_that_fails_takes_all_down() -> None:
    one, other = stories = pair(500)
    for count in (3, 6, 9):
        one.sees(some(500, 400, 1000))
        other.sees(some(500, 400, 1000), some(500, count, 0))
        look(stories, 1)
    assert [(story.position.state, story.position.weight) for story in stories] == [("rolled_back", 0)] * 2
    assert one.changes[-1].why == "together"
    assert "POST /x" in one.position.reason
    assert other.changes[-1].why == "failing"


def test_one_that_is_paused_keeps_the_others() -> None:
    one, other = stories = pair(500)
    other.position = other.position._replace(state="paused")
    for story in stories:
        story.sees(some(500, 400, 1000))
    look(stories, 600)
    assert [story.position.weight for story in stories] == [500, 500]
    assert other.position.state == "paused"
    assert one.position.state == "holding"


def test_one_that_has_not_begun_or_is_done_keeps_nobody() -> None:
    """Reads and writes of a group are in different phases."""
    read, write = stories = pair(500)
    write.position = Story(endpoint="POST /x").position
    write.facts = replace(write.facts, phase_blocked_by="GET /x is not done")
    read.sees(some(500, 400, 1000))
    look(stories, 600)
    assert (read.position.weight, write.position.state) == (2500, "waiting")
    read.position = read.position._replace(state="done", weight=10_000, step=5)
    write.facts = replace(write.facts, phase_blocked_by="")
    look(stories, 1)
    assert write.position.state == "running"
    write.sees(some(0, 0, 100))
    look(stories, 600)
    assert write.position.weight == 100
    assert read.position.state == "done"


def test_one_that_lags_behind_catches_up_alone() -> None:
    ahead, behind = stories = [Story(endpoint="GET /x").at(2500), Story(endpoint="GET /y").at(100)]
    for story in stories:
        story.sees(some(story.position.weight, 400, 400))
    behind.sees(some(100, 400, 39_600))
    look(stories, 600)
    assert [story.position.weight for story in stories] == [2500, 500]
    assert ahead.position.state == "holding"


def test_an_approval_waits_for_each() -> None:
    one, other = stories = [
        Story(replace(PLAN, approve=frozenset({2500})), name).at(500) for name in ("GET /x", "GET /y")
    ]
    for story in stories:
        story.sees(some(500, 400, 1000))
    look(stories, 600)
    assert [story.position.state for story in stories] == ["approval", "approval"]
    one.position = one.position._replace(approved=2500)
    look(stories, 1)
    assert [story.position.weight for story in stories] == [500, 500]
    other.position = other.position._replace(approved=2500)
    look(stories, 1)
    assert [story.position.weight for story in stories] == [2500, 2500]


def test_bars_and_words_are_about_the_step_of_the_group() -> None:
    """Alone the other one would skip 25 %, which moves none of its users; with its group it does not."""
    one, other = stories = pair(500)
    one.sees(some(500, 10, 1000))
    other.sees(dealt(0, 500) | dealt(2500, 10_000))
    found = look(stories, 1)
    assert [after.target for after in found] == [2500, 2500]
    assert [after.needed["failing"] for after in found] == pytest.approx([0.01, 0.01])
