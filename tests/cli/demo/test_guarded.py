"""What the demo claims about its rollouts holds only if it was so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.cli.demo import guarded
from proxy.cli.demo.guarded import HANDFUL, BuildRollout
from proxy.cli.demo.routing import ACCOUNT, FIRST, READS
from proxy.cli.demo.tally import Seen, StepTally

QUOTES = READS[-1]
START = 1_800_000_000.0


def change(
    endpoint: str,
    before: float,
    weight: float,
    at: float,
    why: str = "evidence",
    state: str = "running",
    version: str = "2.1",
    failed: tuple[int, int] = (0, 0),
    author: str = "",
) -> dict[str, Any]:
    time = datetime.fromtimestamp(START + at, UTC).isoformat()
    return {
        "time": time,
        "endpoint": endpoint,
        "state": state,
        "why": why,
        "reason": "back to 0 %: async fails more: 5 of 12 users on async, 0 of 90 on legacy",
        "before": before,
        "weight": weight,
        "version": version,
        "author": author,
        "evidence": {
            "failed_in_step": {"failing": {"legacy": failed[0], "async": failed[1]}},
            "e_values": {"failing": 30_000.0},
            "threshold": 12_000.0,
        },
    }


def fallen(failed: tuple[int, int] = (0, 5), **other: Any) -> list[dict[str, Any]]:
    """Each endpoint that goes first came to 10 % and back, for what users met at the first of them."""
    made = [change(each, 0, 10, 1, version="2.0") for each in FIRST]
    for each in FIRST:
        why, count = ("failing", failed) if each == ACCOUNT else ("together", (0, 0))
        back = {"before": 10, "weight": 0, "at": 9, "why": why, "failed": count, "state": "rolled_back"}
        made.append(change(each, **{**back, "version": "2.0", **other}))
    return made


def to_the_end(endpoints: Sequence[str] = READS) -> list[dict[str, Any]]:
    steps = [(0, 10, 1.0), (10, 50, 5.0), (50, 100, 9.0)]
    made = [change(each, *step) for step in steps for each in endpoints]
    return made + [change(each, 100, 100, 13, "dwell", "done") for each in endpoints]


def seen(failing: int, backend: str = "async", began: float = START, users: int = 50) -> StepTally:
    tally = StepTally(began=began)
    for number in range(users):
        status = 500 if number < failing else 200
        tally.record(Seen(ACCOUNT, backend, status, 0.01, f"{backend}-{number}"))
    return tally


def standing(state: str = "done", weight: float = 100) -> list[dict[str, Any]]:
    return [{"endpoint": each, "state": state, "weight": weight, "reason": "why"} for each in READS]


def bad(failing: int = 5) -> BuildRollout:
    return BuildRollout("2.0", fallen(), [seen(failing), seen(0, "legacy")], FIRST)


def test_a_rollback_is_told_with_its_figures() -> None:
    claim = guarded.rolled_back(bad())
    assert claim.held
    for figure in ("at 10 %", "8.0 s", "5 of 12 users on async, 0 of 90 on legacy", "E = 30,000 of 12,000"):
        assert figure in claim.evidence


@pytest.mark.parametrize(
    "changes",
    [
        [],
        fallen()[:-1],  # one of the group stays
        fallen(author="ada"),
        fallen(before=50),
        fallen(weight=10, before=50),
        fallen(failed=(5, 5)),
        fallen(version="2.1"),
        fallen(why="refused"),
    ],
)
def test_anything_else_is_no_rollback_by_itself(changes: list[dict[str, Any]]) -> None:
    assert not guarded.rolled_back(BuildRollout("2.0", changes, [], FIRST)).held


@pytest.mark.parametrize(("failing", "held"), [(0, False), (1, True), (HANDFUL, True), (HANDFUL + 1, False)])
def test_a_handful_is_more_than_nobody(failing: int, held: bool) -> None:
    assert guarded.few_noticed(bad(failing)).held is held


@pytest.mark.parametrize("backend", ["legacy", ""])
def test_nobody_may_have_failed_elsewhere_than_on_async(backend: str) -> None:
    attempt = BuildRollout("2.0", fallen(), [seen(5), seen(1, backend)], FIRST)
    assert not guarded.few_noticed(attempt).held


def test_the_repaired_build_is_through_when_every_read_is() -> None:
    attempt = BuildRollout("2.1", to_the_end(), [seen(0)])
    claim = guarded.went_to_the_end(attempt, standing())
    assert claim.held
    assert "after 12 s" in claim.evidence


def test_a_step_that_would_have_moved_nobody_may_be_left_out() -> None:
    short = [each for each in to_the_end() if (each["endpoint"], each["before"]) != (QUOTES, 10)]
    assert guarded.went_to_the_end(BuildRollout("2.1", short, [seen(0)]), standing()).held


@pytest.mark.parametrize(
    ("changes", "rollouts"),
    [
        ([], standing()),
        (to_the_end(READS[:-1]), standing()),
        (to_the_end(), standing("holding", 50)),
        (to_the_end(), standing()[:-1]),
        ([*to_the_end(), *fallen(version="2.1")], standing()),
        ([{**each, "version": "2.0"} for each in to_the_end()], standing()),
        ([{**each, "author": "ada"} for each in to_the_end()], standing()),
        ([{**each, "why": "approved"} for each in to_the_end()], standing()),
    ],
)
def test_anything_else_is_not_through(changes: list[dict[str, Any]], rollouts: list[dict[str, Any]]) -> None:
    assert not guarded.went_to_the_end(BuildRollout("2.1", changes, [seen(0)]), rollouts).held


def test_the_summary_counts_failing_users_on_each_side() -> None:
    good = BuildRollout("2.1", to_the_end(), [seen(0), seen(0, "legacy")])
    claim = guarded.failing_users([bad(), good])
    assert claim.held
    assert (
        "async 2.0: rolled back from 10 %; 5 of 50 users failed on async, 0 of 50 on legacy" in claim.evidence
    )
    assert "async 2.1: went to 100 %; 0 of 50 users failed on async" in claim.evidence


@pytest.mark.parametrize(
    "good",
    [
        BuildRollout("2.1", to_the_end(), [seen(1)]),
        BuildRollout("2.1", to_the_end(), [seen(0), seen(1, "legacy")]),
        BuildRollout("2.1", [*to_the_end(), change(QUOTES, 50, 100, 20, failed=(0, 1))], [seen(0)]),
    ],
)
def test_a_repaired_build_that_fails_anybody_does_not_hold(good: BuildRollout) -> None:
    assert not guarded.failing_users([bad(), good]).held


def test_the_proxy_counts_nobody_whom_clients_did_not_see_fail() -> None:
    good = BuildRollout("2.1", to_the_end(), [seen(0)])
    assert not guarded.failing_users([bad(0), good]).held
    assert not guarded.failing_users([bad(4), good]).held  # the proxy counted five
    assert not guarded.failing_users([bad()]).held


def test_a_step_is_what_clients_saw_while_its_weight_was_in_force() -> None:
    moments = [(at, seen(0, "async" if at < 6 else "legacy", START + at, users=1)) for at in (0, 2, 3, 5, 7)]
    attempt = BuildRollout("2.1", to_the_end(), [each for _, each in moments])
    assert attempt.step(10).count(read=True) == 1  # 1 s to 5 s: that of 2 s; the one of 3 s ends too late
    assert attempt.step(50).on("legacy") == set()
    assert attempt.step(100).count(read=True) == 0
    assert BuildRollout("2.1", [], [each for _, each in moments]).step(10).count(read=True) == 0
