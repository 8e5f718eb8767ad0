from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.retry import (
    MAX_CONNECT_ATTEMPTS,
    UNSENT,
    Again,
    Attempt,
    Budget,
    FailureKind,
    GiveUp,
    after_failure,
    backoff,
    blames,
)
from proxy.core.settings import Retries

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


def attempt(failure: FailureKind, **given: object) -> Attempt:
    """A first attempt at a safe request, on a fresh connection; sent, unless the failure says it was not."""
    base = Attempt(
        failure=failure,
        safe=True,
        sent=failure not in UNSENT,
        reused=False,
        read=False,
        answered=False,
        relayed=False,
        whole=True,
        attempts=1,
        upstreams=1,
        fallback=False,
        retried=False,
        stuck=False,
        spare=False,
    )
    return base._replace(**given)  # type: ignore[arg-type]


def all_attempts() -> Iterator[Attempt]:
    """Every combination that can be, and some that cannot."""
    flags = itertools.product([False, True], repeat=11)
    for failure, (
        *(safe, sent, reused, read, answered, relayed, whole, fallback, retried, stuck, spare),
    ) in itertools.product(KINDS, flags):
        for attempts, upstreams in itertools.product((1, 2, 3, 4), (1, 2, 5)):
            yield Attempt(
                failure,
                safe,
                sent and failure not in UNSENT,
                reused,
                read,
                answered,
                relayed,
                whole,
                attempts,
                upstreams,
                fallback,
                retried,
                stuck,
                spare,
            )


ALL = [(each, after_failure(each)) for each in all_attempts()]
AGAIN = [(each, verdict) for each, verdict in ALL if isinstance(verdict, Again)]
ENDED = [(each, verdict) for each, verdict in ALL if isinstance(verdict, GiveUp)]


def test_a_write_that_was_sent_is_never_sent_again() -> None:
    assert [each for each, _ in AGAIN if each.sent and not each.safe] == []


def test_nothing_is_sent_again_once_the_client_has_a_part_of_the_answer() -> None:
    assert [each for each, _ in AGAIN if each.relayed] == []
    assert all(verdict.abort == each.relayed for each, verdict in ENDED)


def test_a_body_that_is_no_longer_held_is_not_sent_again() -> None:
    assert [each for each, _ in AGAIN if each.sent and not each.whole] == []


def test_after_bytes_were_sent_there_is_one_retry_on_the_same_backend() -> None:
    assert [each for each, _ in AGAIN if each.sent and each.retried and not each.fallback] == []


def test_what_was_sent_is_retried_from_the_budget_unless_the_connection_was_stale() -> None:
    unbudgeted = [each for each, v in AGAIN if each.sent and not v.budgeted and not v.on_fallback]
    assert unbudgeted
    assert all(each.reused and not each.answered and each.failure == "reset" for each in unbudgeted)


def test_a_fallback_takes_nothing_from_the_budget() -> None:
    assert [verdict for _, verdict in AGAIN if verdict.on_fallback and verdict.budgeted] == []


def test_a_read_that_is_still_whole_ends_on_its_fallback_whatever_failed() -> None:
    whole = [(each, v) for each, v in ALL if each.safe and each.whole and each.fallback and not each.relayed]
    saved = [(each, v) for each, v in whole if each.failure != "no_connection"]
    assert saved
    for each, verdict in saved:
        assert isinstance(verdict, Again), each
        last = after_failure(each._replace(reused=False, attempts=4))  # after a stale one, and all addresses
        assert isinstance(last, Again), each
        assert last.on_fallback, each


def test_the_fallback_is_used_only_when_there_is_one() -> None:
    assert any(verdict.on_fallback for _, verdict in AGAIN)
    assert [each for each, verdict in AGAIN if verdict.on_fallback and not each.fallback] == []


def test_a_stale_connection_does_not_move_a_request_to_the_fallback() -> None:
    stale = [verdict for _, verdict in AGAIN if verdict.why == "stale_connection"]
    assert stale
    assert not any(verdict.on_fallback for verdict in stale)


def test_a_request_that_was_read_is_not_taken_for_one_on_a_stale_connection() -> None:
    given = attempt("reset", reused=True, read=True, fallback=True)
    assert after_failure(given) == Again(True, "reset", False)


def test_a_busy_backend_uses_what_the_other_has_to_spare_and_one_that_hangs_is_left_in_any_case() -> None:
    waited = [(each, verdict) for each, verdict in AGAIN if each.failure == "no_connection"]
    assert waited
    assert all(verdict.on_fallback and each.fallback and each.safe for each, verdict in waited)
    assert all(each.stuck or (each.spare and each.whole) for each, _ in waited)
    assert {each.stuck for each, _ in waited} == {True, False}


def test_a_write_is_not_moved_by_a_full_pool() -> None:
    given = attempt("no_connection", safe=False, fallback=True, stuck=True, spare=True)
    assert after_failure(given) == GiveUp(503, "no_connection", False, False)


def test_a_full_pool_says_nothing_against_the_backend() -> None:
    assert [kind for kind in KINDS if not blames(attempt(kind))] == ["no_connection"]
    assert not blames(attempt("reset", reused=True))
    assert blames(attempt("reset", reused=True, answered=True))
    assert blames(attempt("reset", reused=True, read=True))
    assert blames(attempt("timeout", reused=True))


def test_the_outcome_is_unknown_exactly_for_writes_that_were_sent() -> None:
    assert all(verdict.unknown == (each.sent and not each.safe) for each, verdict in ENDED)


def test_connecting_is_tried_a_bounded_number_of_times() -> None:
    unsent = [each for each, verdict in AGAIN if not each.sent and not verdict.on_fallback]
    assert unsent
    assert all(each.attempts < min(each.upstreams, MAX_CONNECT_ATTEMPTS) for each in unsent)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("connect_failed", 502),
        ("connect_timeout", 504),
        ("no_connection", 503),
        ("reset", 502),
        ("timeout", 504),
        ("bad_response", 502),
    ],
)
def test_each_failure_has_its_status(failure: FailureKind, status: int) -> None:
    verdict = after_failure(attempt(failure, safe=False))
    assert isinstance(verdict, GiveUp)
    assert (verdict.status, verdict.kind) == (status, failure)
    assert {each.status for each_attempt, each in ENDED if each_attempt.failure == failure} == {status}


TABLE = {
    # connect failed, nothing sent
    "read, other upstream": (
        attempt("connect_failed", upstreams=2, fallback=True),
        Again(False, "connect_failed", False),
    ),
    "read, then fallback": (
        attempt("connect_failed", attempts=2, upstreams=2, fallback=True),
        Again(True, "connect_failed", False),
    ),
    "read, nowhere else": (attempt("connect_failed"), GiveUp(502, "connect_failed", False, False)),
    "write, other upstream while unsent": (
        attempt("connect_timeout", safe=False, upstreams=2),
        Again(False, "connect_timeout", False),
    ),
    "write, fallback where it has one": (
        attempt("connect_failed", safe=False, fallback=True),
        Again(True, "connect_failed", False),
    ),
    "write, nowhere else": (
        attempt("connect_failed", safe=False),
        GiveUp(502, "connect_failed", False, False),
    ),
    # a pooled connection found dead
    "read on a dead pooled connection": (
        attempt("reset", reused=True, fallback=True),
        Again(False, "stale_connection", False),
    ),
    "write on a dead pooled connection": (
        attempt("reset", reused=True, safe=False),
        GiveUp(502, "reset", True, False),
    ),
    # timeout or reset after bytes were sent
    "read, fallback": (attempt("timeout", fallback=True), Again(True, "timeout", False)),
    "read, again within the budget": (attempt("reset"), Again(False, "reset", True)),
    "read on a pooled connection that had begun to answer": (
        attempt("reset", reused=True, answered=True),
        Again(False, "reset", True),
    ),
    "read, again was not better": (attempt("timeout", retried=True), GiveUp(504, "timeout", False, False)),
    "write, timeout": (attempt("timeout", safe=False, fallback=True), GiveUp(504, "timeout", True, False)),
    "write, reset": (attempt("reset", safe=False, fallback=True), GiveUp(502, "reset", True, False)),
    # the client has a part already
    "read, truncated": (
        attempt("reset", answered=True, relayed=True, fallback=True),
        GiveUp(502, "reset", False, True),
    ),
}


@pytest.mark.parametrize(("given", "expected"), TABLE.values(), ids=TABLE)
def test_the_failure_table(given: Attempt, expected: Again | GiveUp) -> None:
    assert after_failure(given) == expected


def test_the_budget_begins_with_one_second_of_its_constant_rate() -> None:
    budget = Budget(Retries(budget=0.0, min_per_second=2.0), 0.0)
    assert [budget.withdraw(0.0, 0) for _ in range(3)] == [True, True, False]


def test_the_budget_refills_with_time_up_to_a_cap() -> None:
    budget = Budget(Retries(budget=0.0, min_per_second=1.0), 0.0)
    assert budget.withdraw(0.0, 0)
    assert not budget.withdraw(0.5, 0)
    assert budget.withdraw(1.25, 0)
    granted = sum(budget.withdraw(10_000.0, 0) for _ in range(100))
    assert granted == Budget.CAPACITY_SECONDS


def test_each_request_adds_its_share_to_the_budget() -> None:
    budget = Budget(Retries(budget=0.25, min_per_second=1.0), 0.0)
    assert budget.withdraw(0.0, 0)
    assert [budget.withdraw(0.0, requests) for requests in (3, 4, 4, 8)] == [False, True, False, True]


@given(st.integers(0, 10), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20)), max_size=30))
def test_retries_are_never_more_than_the_budget_gives(minimum: int, steps: list[tuple[float, int]]) -> None:
    budget = Budget(Retries(budget=0.2, min_per_second=float(minimum)), 0.0)
    now, requests, granted = 0.0, 0, 0
    for seconds, more in steps:
        now += seconds
        requests += more
        granted += budget.withdraw(now, requests)
    assert granted <= minimum * (1 + now) + 0.2 * requests + 1e-6


@given(st.integers(1, 12), st.floats(0, 1, exclude_max=True))
def test_backoff_is_below_its_maximum_and_its_exponential(retry: int, random: float) -> None:
    retries = Retries(backoff=0.025, max_backoff=0.25)
    delay = backoff(retries, retry, random)
    assert 0 <= delay <= min(0.25, 0.025 * 2 ** (retry - 1))


def test_backoff_doubles_until_its_maximum() -> None:
    retries = Retries(backoff=0.025, max_backoff=0.25)
    assert [backoff(retries, retry, 1.0) for retry in (1, 2, 3, 4, 5)] == [0.025, 0.05, 0.1, 0.2, 0.25]
