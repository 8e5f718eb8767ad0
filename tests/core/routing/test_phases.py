from __future__ import annotations

import pytest

from proxy.core.routing.phases import (
    RolloutStanding,
    forced,
    left_out,
    phase_of,
    refused,
    violations,
    waiting,
)
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Phase, RolloutPlan
from tests.core.tables import PHASES, endpoint, snapshot

READ, SECOND, WRITE = "GET /a/{id}", "GET /b/{id}", "POST /a"
BY_GROUP = (PHASES[0], Phase("writes", PHASES[1].methods, after="reads", scope="group"))


def weights(
    read: float, second: float, write: float, phases: tuple[Phase, ...] = PHASES, force: str | None = None
) -> Snapshot:
    endpoints = [endpoint(READ, read), endpoint(SECOND, second), endpoint(WRITE, write, force=force)]
    return snapshot(endpoints, phases=phases)


def names(found: tuple[object, ...]) -> list[str]:
    return [each.endpoint.name for each in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("read", "second", "write", "broken"),
    [(0, 0, 0, []), (100, 100, 1, []), (50, 50, 0, []), (100, 99.99, 1, [WRITE]), (0, 0, 100, [WRITE])],
)
def test_a_phase_moves_only_after_the_one_before_it(
    read: float, second: float, write: float, broken: list[str]
) -> None:
    assert names(violations(weights(read, second, write))) == broken


def test_scope_group_looks_at_the_own_group_only() -> None:
    assert names(violations(weights(100, 0, 50, BY_GROUP))) == []
    assert names(violations(weights(0, 100, 50, BY_GROUP))) == [WRITE]


def test_force_excuses_and_is_listed() -> None:
    table = weights(0, 0, 50, force="agreed with QA")
    assert violations(table) == ()
    assert names(forced(table)) == [WRITE]


def test_message_names_what_is_in_the_way() -> None:
    text = str(violations(weights(25, 100, 5))[0])
    assert text == "POST /a: weight 5 in phase writes before phase reads is at 100: GET /a/{id} (25)"


def test_message_counts_what_it_does_not_name() -> None:
    reads = [endpoint(f"GET /r{number}") for number in range(10)]
    text = str(violations(snapshot([*reads, endpoint(WRITE, 1)]))[0])
    assert text.endswith("GET /r0 (0), GET /r1 (0), GET /r2 (0) and 7 more")


def test_endpoint_without_phase_is_free() -> None:
    table = snapshot([endpoint(READ, 0), endpoint("POST /x", 50, phase=None)])
    assert violations(table) == ()


def test_raising_into_a_violation_is_refused() -> None:
    assert names(refused(weights(50, 100, 0), weights(50, 100, 5))) == [WRITE]
    assert names(refused(weights(50, 100, 5), weights(50, 100, 6))) == [WRITE]


def test_new_endpoint_with_a_weight_counts_as_raised() -> None:
    old = snapshot([endpoint(READ, 50)])
    assert names(refused(old, snapshot([endpoint(READ, 50), endpoint(WRITE, 1)]))) == [WRITE]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((100, 100, 50), (0, 100, 50)),
        ((50, 0, 50), (50, 0, 10)),
        ((50, 0, 50), (40, 0, 50)),
        ((0, 0, 50), (0, 0, 0)),
    ],
)
def test_lowering_is_never_refused(old: tuple[float, float, float], new: tuple[float, float, float]) -> None:
    assert refused(weights(*old), weights(*new)) == ()


def test_cold_start_refuses_nothing() -> None:
    assert refused(None, weights(0, 0, 100)) == ()


PLAN = RolloutPlan("careful", (0, 100, 10_000))


def rolling(read: RolloutPlan | None, write: RolloutPlan | None, at: float = 0, **given: object) -> Snapshot:
    """A read and a write, each in a rollout if it has a plan; else at 100, and at `at`."""
    first = endpoint(READ, plan=read) if read else endpoint(READ, 100)
    last = endpoint(WRITE, plan=write, **given) if write else endpoint(WRITE, at, **given)
    return snapshot([first, last])


def test_a_file_alone_leaves_out_endpoints_in_a_rollout() -> None:
    assert violations(rolling(PLAN, None, 50)) == ()
    assert violations(rolling(None, PLAN)) == ()
    assert [each.name for each in left_out(rolling(PLAN, None, 50))] == [READ]


@pytest.mark.parametrize(
    ("weight", "done", "broken"),
    [
        (0, [], [WRITE]),
        (2500, [], [WRITE]),
        (10_000, [], [WRITE]),
        (9_999, [READ], [WRITE]),
        (10_000, [READ], []),
    ],
)
def test_a_rollout_is_finished_when_it_is_done_and_at_100(
    weight: int, done: list[str], broken: list[str]
) -> None:
    assert names(violations(rolling(PLAN, None, 50), RolloutStanding({READ: weight}, done))) == broken


def test_message_says_that_it_is_a_rollout_that_is_in_the_way() -> None:
    (found,) = violations(rolling(PLAN, None, 50), RolloutStanding({READ: 2500}, []))
    assert str(found).endswith("before phase reads is at 100: GET /a/{id} (25, rollout careful not done)")


def test_a_rollout_never_breaks_the_order_but_waits() -> None:
    table = snapshot([endpoint(READ, 50), endpoint(WRITE, plan=PLAN)])
    standing = RolloutStanding({WRITE: 100}, [])
    assert violations(table, standing) == ()
    assert waiting(table, standing) == {WRITE: "until phase reads is at 100: GET /a/{id} (50)"}
    assert waiting(rolling(None, PLAN), standing) == {}


def test_a_rollout_with_its_effective_weight_does_not_break_the_order_either() -> None:
    table = snapshot([endpoint(READ, 50), endpoint(WRITE, 5, plan=PLAN)])
    assert violations(table) == ()
    assert violations(table, RolloutStanding({WRITE: 500}, [])) == ()


def test_a_rollout_with_force_does_not_wait() -> None:
    table = snapshot([endpoint(READ, 50), endpoint(WRITE, plan=PLAN, force="agreed")])
    assert waiting(table, RolloutStanding({}, [])) == {}


def test_a_write_waits_for_a_read_whose_rollout_was_rolled_back() -> None:
    table = rolling(PLAN, PLAN)
    assert list(waiting(table, RolloutStanding({READ: 10_000}, [READ]))) == []
    assert list(waiting(table, RolloutStanding({READ: 0}, []))) == [WRITE]


@pytest.mark.parametrize("standing", [None, RolloutStanding({}, []), RolloutStanding({WRITE: 2500}, [])])
def test_a_weight_that_becomes_a_rollout_is_never_refused(standing: RolloutStanding | None) -> None:
    old = snapshot([endpoint(READ, 50), endpoint(WRITE, 25)])
    new = snapshot([endpoint(READ, 50), endpoint(WRITE, plan=PLAN)])
    assert refused(old, new, standing) == ()


@pytest.mark.parametrize(
    ("standing", "weight", "broken"),
    [
        (RolloutStanding({WRITE: 500}, []), 25, [WRITE]),
        (RolloutStanding({WRITE: 500}, []), 5, []),
        (RolloutStanding({WRITE: 500}, []), 1, []),
        (RolloutStanding({}, []), 1, [WRITE]),
        (None, 25, []),  # it may be lower than what the rollout had
    ],
)
def test_a_rollout_that_becomes_a_higher_weight_is_refused(
    standing: RolloutStanding | None, weight: float, broken: list[str]
) -> None:
    old = snapshot([endpoint(READ, 50), endpoint(WRITE, plan=PLAN)])
    new = snapshot([endpoint(READ, 50), endpoint(WRITE, weight)])
    assert names(refused(old, new, standing)) == broken


def test_a_write_is_not_raised_while_the_rollout_of_a_read_goes_on() -> None:
    standing = RolloutStanding({READ: 2500}, [])
    assert names(refused(rolling(PLAN, None, 0), rolling(PLAN, None, 5), standing)) == [WRITE]
    assert refused(rolling(PLAN, None, 5), rolling(PLAN, None, 4), standing) == ()


def test_phase_is_the_first_that_lists_the_method() -> None:
    assert phase_of("GET", PHASES) == "reads"
    assert phase_of("PATCH", PHASES) == "writes"
    assert phase_of("TRACE", PHASES) is None
