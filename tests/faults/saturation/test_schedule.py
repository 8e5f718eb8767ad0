from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.faults.saturation import schedule
from tests.faults.saturation.schedule import BACKEND, CALM, CONNECTIONS, FILLING, REAL, SCALED, Store

STORES: tuple[Store, ...] = ("sqlite", "postgresql")


def test_the_same_seed_draws_the_same_plan_and_another_one_another() -> None:
    chosen = schedule.kinds("sqlite", clocks=True)
    assert schedule.mixed(7, 200, chosen) == schedule.mixed(7, 200, chosen)
    assert schedule.mixed(7, 200, chosen) != schedule.mixed(8, 200, chosen)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(20))
def test_a_full_run_has_every_kind_of_fault_and_every_number_of_connections(store: Store, seed: int) -> None:
    chosen = schedule.kinds(store, clocks=True)
    plan = schedule.mixed(seed, 263, chosen)
    assert {episode.kind for episode in plan.episodes} == set(chosen)
    assert {episode.connections for episode in plan.episodes} == set(CONNECTIONS)
    last = plan.episodes[-1]
    assert last.at + last.length <= 263


def test_a_fault_begins_when_the_one_before_is_over() -> None:
    plan = schedule.mixed(3, 263, schedule.kinds("postgresql", clocks=True))
    for before, after in pairwise(plan.episodes):
        assert after.at >= before.at + FILLING + before.lasts + CALM


def test_the_backend_that_stalls_is_one_that_gets_requests() -> None:
    for seed in range(20):
        for episode in schedule.mixed(seed, 263, BACKEND).episodes:
            assert episode.target == {0: "legacy", 100: "async"}.get(episode.weight, episode.target)
            assert episode.target


def test_clocks_are_left_out_where_there_is_nothing_to_shift_them_with() -> None:
    assert schedule.CLOCK not in schedule.kinds("postgresql", clocks=False)
    assert schedule.CLOCK in schedule.kinds("postgresql", clocks=True)


def test_workers_of_one_machine_share_its_clock() -> None:
    assert schedule.CLOCK not in schedule.kinds("sqlite", clocks=True)


def test_a_run_too_short_for_any_fault_says_so() -> None:
    with pytest.raises(ValueError, match="more writes"):
        schedule.mixed(1, 2, schedule.kinds("sqlite", clocks=False))


@pytest.mark.parametrize("timeouts", [SCALED, REAL])
def test_stalls_are_shorter_and_longer_than_each_timeout_that_they_can_meet(
    timeouts: schedule.Timeouts,
) -> None:
    for kind in ("unread", "late", "frozen"):
        lasts = schedule.lengths(kind, timeouts)
        for timeout in (timeouts.connect, timeouts.response):
            assert any(one < timeout for one in lasts)
            assert any(timeout < one < 2 * timeout for one in lasts)
    assert min(schedule.lengths("half", timeouts)) < timeouts.idle < max(schedule.lengths("half", timeouts))


def test_stalls_follow_each_other_with_a_pause() -> None:
    plan = schedule.stalls(16, SCALED, [10.0, 10.0], pause=2.0)
    assert [episode.at for episode in plan.episodes] == [FILLING, FILLING + FILLING + 10 + 2]
    assert Counter(episode.kind for episode in plan.episodes) == {"frozen": 2}
    assert plan.connections == 16
