from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.cli.demo import claims
from proxy.cli.demo.routing import DRY_RUN, QUOTES, READS
from proxy.cli.demo.tally import Seen, StepTally

READ = "GET /accounts/{account_id}"
WRITE = "POST /payments"


def tally(users: int, backend: Callable[[int], str], status: int = 200) -> StepTally:
    made = StepTally()
    for number in range(users):
        made.record(Seen(READ, backend(number), status, 0.01, f"user-{number}"))
    return made


def writes(count: int, backend: str, status: int = 201) -> StepTally:
    made = StepTally()
    for _ in range(count):
        made.record(Seen(WRITE, backend, status, 0.01, "user-1"))
    return made


def tenth_on_async(number: int) -> str:
    return "legacy" if number % 10 else "async"


def test_a_split_near_the_weight_holds() -> None:
    claim = claims.split(tally(1000, tenth_on_async), 10, set())
    assert claim.held
    assert "100 of 1000 users" in claim.evidence


@pytest.mark.parametrize("weight", [0, 5, 20, 100])
def test_a_split_off_the_weight_does_not_hold(weight: int) -> None:
    assert not claims.split(tally(1000, tenth_on_async), weight, set()).held


def test_no_traffic_is_no_evidence() -> None:
    assert not claims.split(StepTally(), 0, set()).held
    assert not claims.no_failed_reads(StepTally(), "at all").held
    assert not claims.writes_moved(StepTally()).held
    assert not claims.fell_back(StepTally()).held
    assert not claims.paid_once(StepTally(), 0, 0).held


def test_a_user_who_saw_both_backends_breaks_the_split() -> None:
    seen = tally(1000, tenth_on_async)
    seen.record(Seen(READ, "legacy", 200, 0.01, "user-0"))
    claim = claims.split(seen, 10, set())
    assert not claim.held
    assert "1 saw both" in claim.evidence


def test_a_user_who_went_back_breaks_the_split() -> None:
    claim = claims.split(tally(1000, tenth_on_async), 10, {("accounts", "user-1")})
    assert not claim.held
    assert "1 went back" in claim.evidence


@pytest.mark.parametrize("status", [0, 404, 502])
def test_any_read_without_its_answer_counts(status: int) -> None:
    seen = tally(10, tenth_on_async)
    seen.record(Seen(READ, "", status, 0.01, "user-1", "why"))
    claim = claims.no_failed_reads(seen, "today")
    assert not claim.held
    assert "1 of 11" in claim.evidence
    assert "why" in claim.evidence


def test_writes_have_moved_when_all_are_answered_by_async() -> None:
    assert claims.writes_moved(writes(5, "async")).held
    assert not claims.writes_moved(writes(5, "legacy")).held
    assert not claims.writes_moved(StepTally.of(writes(5, "async"), writes(1, "async", 500))).held


def test_falling_back_allows_failed_writes_but_no_read_by_async() -> None:
    down = StepTally.of(tally(10, lambda _: "legacy"), writes(3, "", 502))
    assert claims.fell_back(down).held
    assert not claims.fell_back(tally(10, tenth_on_async)).held


@pytest.mark.parametrize(
    ("found", "distinct", "held"),
    [
        (10, 10, True),
        (12, 12, True),  # both that failed were made nevertheless
        (13, 13, False),  # more than were asked for
        (9, 9, False),  # a confirmed one is missing
        (11, 10, False),  # one was made twice
    ],
)
def test_payments_in_the_database_are_held_against_what_clients_saw(
    found: int, distinct: int, held: bool
) -> None:
    total = StepTally.of(writes(10, "async"), writes(2, "", 502))
    assert claims.paid_once(total, found, distinct).held is held


def verdicts(quotes: str, others: str = "likely equal", version: str = "2.1") -> dict[str, dict[str, object]]:
    def said(verdict: str) -> dict[str, object]:
        evidence = {"versions": {"async": version}}
        return {"verdict": verdict, "text": verdict, "n": 40, "k": 2, "evidence": evidence}

    return {**dict.fromkeys(READS, said(others)), QUOTES: said(quotes)}


@pytest.mark.parametrize(
    ("quotes", "others", "weight", "held"),
    [
        ("differs", "likely equal", 0, True),
        ("differs", "no evidence", 0, True),
        ("differs", "likely equal", 10, False),
        ("likely equal", "likely equal", 0, False),
        ("differs", "differs", 0, False),  # noise was taken for a fault
    ],
)
def test_the_fault_alone_is_found_in_time(quotes: str, others: str, weight: float, held: bool) -> None:
    assert claims.fault_found(verdicts(quotes, others), weight, "example").held is held


def test_the_repaired_version_must_be_the_one_that_is_equal() -> None:
    assert claims.fault_gone(verdicts("likely equal")).held
    assert not claims.fault_gone(verdicts("likely equal", version="2.0")).held
    assert not claims.fault_gone(verdicts("no evidence")).held
    nothing: dict[str, dict[str, object]] = {QUOTES: {**verdicts("no evidence")[QUOTES], "evidence": None}}
    assert not claims.fault_gone(nothing).held


def test_every_read_must_be_equal_in_the_end() -> None:
    assert claims.all_equal(verdicts("likely equal"), "2.1").held
    assert not claims.all_equal(verdicts("likely equal"), "2.2").held
    assert not claims.all_equal(verdicts("likely equal", "no evidence"), "2.1").held
    assert not claims.all_equal({QUOTES: verdicts("likely equal")[QUOTES]}, "2.1").held


def test_payments_must_have_been_rehearsed() -> None:
    equal = verdicts("likely equal")
    assert not claims.rehearsed(equal).held
    assert claims.rehearsed({**equal, DRY_RUN: equal[QUOTES]}).held
    assert not claims.rehearsed({**equal, DRY_RUN: verdicts("differs")[QUOTES]}).held
