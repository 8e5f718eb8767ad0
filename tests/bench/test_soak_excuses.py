from __future__ import annotations

import pytest

from bench.soak_clients import KINDS
from bench.soak_excuses import ASYNC, LEGACY, WORKER, Disturbance, Failure, allowed, excuse


def failure(
    kind: str = "read", cause: str = "status 502", good: float = 9.0, begun: float = 9.5, failed: float = 10.5
) -> Failure:
    return Failure(kind, cause, good, begun, failed)


def test_a_request_that_met_a_dead_legacy_is_explained() -> None:
    killed = [Disturbance(LEGACY, 10.0, 11.0)]
    assert excuse(failure(begun=9.9, failed=10.0), killed) == LEGACY
    assert excuse(failure(begun=11.0, failed=11.5), killed) == LEGACY


@pytest.mark.parametrize(("begun", "failed"), [(9.0, 9.99), (11.01, 12.0)], ids=["before", "after"])
def test_a_request_that_only_came_near_is_not(begun: float, failed: float) -> None:
    assert excuse(failure(begun=begun, failed=failed), [Disturbance(LEGACY, 10.0, 11.0)]) == ""


def test_a_cut_of_a_connection_that_the_killed_worker_may_have_had_is_explained() -> None:
    killed = [Disturbance(WORKER, 10.0, 10.1)]
    assert excuse(failure("write", "ConnectionResetError", begun=10.2, failed=10.3), killed) == WORKER


def test_a_cut_of_a_connection_on_which_a_later_request_went_well_is_not() -> None:
    cut = failure("write", "ConnectionResetError", good=10.15, begun=10.2, failed=10.3)
    assert excuse(cut, [Disturbance(WORKER, 10.0, 10.1)]) == ""


def test_no_worker_explains_a_status() -> None:
    assert excuse(failure(), [Disturbance(WORKER, 10.0, 10.1)]) == ""


def test_any_of_several_kills_may_explain_it() -> None:
    killed = [Disturbance(ASYNC, 10.0, 11.0), Disturbance(LEGACY, 10.2, 11.0)]
    assert excuse(failure(), killed) == LEGACY


def test_a_small_read_survives_async() -> None:
    assert allowed(ASYNC, "read") == frozenset()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed", [WORKER, LEGACY, ASYNC])
@pytest.mark.parametrize("cause", ["TimeoutError", "ConnectionRefusedError", "wrong body", "status 500"])
def test_what_is_never_explained(kind: str, killed: str, cause: str) -> None:
    assert cause not in allowed(killed, kind)
