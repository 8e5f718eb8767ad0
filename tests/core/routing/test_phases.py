from __future__ import annotations

import pytest

from proxy.core.routing.phases import forced, percent, phase_of, refused, violations
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Phase
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


def test_phase_is_the_first_that_lists_the_method() -> None:
    assert phase_of("GET", PHASES) == "reads"
    assert phase_of("PATCH", PHASES) == "writes"
    assert phase_of("TRACE", PHASES) is None


@pytest.mark.parametrize(
    ("weight", "text"), [(0, "0"), (1, "0.01"), (1250, "12.5"), (10_000, "100"), (1000, "10")]
)
def test_percent_is_as_written(weight: int, text: str) -> None:
    assert percent(weight) == text
