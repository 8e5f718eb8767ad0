from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import (
    ClaimRequest,
    Proceed,
    Record,
    Refuse,
    Replay,
    State,
    StoredAnswer,
)
from proxy.core.settings import ASYNC, LEGACY, Backend, BackendName

ANSWER = StoredAnswer(201, b"HTTP/1.1 201 Created\r\n", b"{}")
STATES: tuple[State, ...] = ("claimed", "sent", "completed", "unknown", "released")
NOW = 1000.0
TTL = 60.0


def wanted(
    token: str = "t2",
    backend: BackendName = ASYNC,
    body: str = "f",
    now: float = NOW,
    idempotent: frozenset[BackendName] = frozenset(),
) -> ClaimRequest:
    return ClaimRequest("id", "p", "POST /a", "k", body, backend, "i2", token, now, TTL, idempotent)


def record(state: State = "sent", owner: BackendName = LEGACY, answer: StoredAnswer | None = None) -> Record:
    first = replace(wanted("t1", owner), incarnation="i1")
    return replace(idem.claim(first), state=state, answer=answer, unsent=None)


CHANGES: dict[str, tuple[State, Callable[[Record], Record]]] = {
    "send": ("sent", idem.send),
    "rerun": ("sent", lambda r: idem.rerun(r, wanted())),
    "move": ("sent", lambda r: idem.move(r, ASYNC, NOW)),
    "complete": ("completed", lambda r: idem.complete(r, ANSWER, NOW)),
    "release": ("released", lambda r: idem.release(r, NOW)),
    "withdraw": ("released", lambda r: idem.withdraw(r, NOW)),
    "lose": ("unknown", lambda r: idem.lose(r, NOW)),
    "settle done": ("completed", lambda r: idem.settle(r, True, "x", NOW)),
    "settle not done": ("released", lambda r: idem.settle(r, False, "x", NOW)),
}
ALLOWED: dict[str, set[State]] = {
    "send": {"claimed", "sent", "unknown", "released"},
    "rerun": {"claimed", "unknown", "released"},
    "move": {"claimed", "sent", "unknown", "released"},
    "complete": {"sent", "unknown"},
    "release": {"claimed", "sent", "unknown"},
    "withdraw": {"claimed", "sent", "unknown"},
    "lose": {"sent", "unknown", "released"},
    "settle done": {"unknown"},
    "settle not done": {"unknown"},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", CHANGES)
def test_every_transition_is_allowed_or_refused(change: str, state: State) -> None:
    target, function = CHANGES[change]
    if state in ALLOWED[change]:
        assert function(record(state)).state == target
    else:
        with pytest.raises(idem.IllegalTransition):
            function(record(state))


def test_completed_is_final() -> None:
    assert idem.TRANSITIONS["completed"] == frozenset()


def test_a_first_use_goes_where_the_weight_says() -> None:
    verdict = idem.resolve(None, wanted(backend=ASYNC))
    assert verdict == Proceed(idem.send(idem.claim(wanted(backend=ASYNC))), existing=False)


@pytest.mark.parametrize("state", ["claimed", "sent"])
def test_one_that_is_under_way_refuses_the_second(state: State) -> None:
    verdict = idem.resolve(record(state), wanted(now=NOW + 10 * TTL))
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.kind, verdict.unknown) == (409, "idempotency_in_flight", False)


@pytest.mark.parametrize("state", STATES)
def test_another_body_is_refused_in_every_state(state: State) -> None:
    verdict = idem.resolve(record(state), wanted(body="other"))
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.kind) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("version", [None, 2])
def test_a_record_of_version_0_1_is_judged_by_its_own_fingerprint(version: int | None) -> None:
    """Version 0.1 knows no versions: in a row that it takes over it leaves the one of the row before."""
    known = replace(record("completed", answer=ANSWER), fingerprint="f1", fingerprint_version=version)
    now = replace(wanted(body="f2"), first_fingerprint="f1")
    assert idem.resolve(known, now) == Replay(LEGACY, ANSWER)
    assert isinstance(idem.resolve(known, replace(now, first_fingerprint="g1")), Refuse)


def test_a_record_of_today_does_not_answer_to_the_fingerprint_of_version_0_1() -> None:
    known = replace(record("completed", answer=ANSWER), fingerprint="f2", fingerprint_version=2)
    other = replace(wanted(body="g2"), first_fingerprint="f1")
    assert isinstance(idem.resolve(known, other), Refuse)


def test_what_is_sent_again_gets_the_fingerprint_of_today() -> None:
    known = replace(record("released"), fingerprint="f1", fingerprint_version=None)
    verdict = idem.resolve(known, replace(wanted(body="f2"), first_fingerprint="f1"))
    assert isinstance(verdict, Proceed)
    assert (verdict.record.fingerprint, verdict.record.fingerprint_version) == ("f2", 3)


def test_a_marker_is_in_nobodys_hands_and_refused_as_running() -> None:
    asked = replace(wanted(), former_id="old", first_fingerprint="f1")
    marker = idem.marker(asked)
    assert (marker.id, marker.state, marker.note, marker.fingerprint) == ("old", "claimed", "marker", "f1")
    assert marker.token != asked.token


def test_a_completed_one_is_replayed() -> None:
    verdict = idem.resolve(record("completed", answer=ANSWER), wanted(idempotent=frozenset({LEGACY, ASYNC})))
    assert verdict == Replay(LEGACY, ANSWER)


def test_one_whose_answer_was_too_large_says_so() -> None:
    verdict = idem.resolve(idem.complete(record("sent"), None, NOW), wanted())
    assert isinstance(verdict, Refuse)
    assert verdict.kind == "idempotency_response_too_large"


def test_a_released_one_runs_anew_on_its_owner() -> None:
    verdict = idem.resolve(record("released", LEGACY), wanted(backend=ASYNC))
    assert isinstance(verdict, Proceed)
    assert verdict.existing
    assert (verdict.record.owner, verdict.record.state, verdict.record.token) == (LEGACY, "sent", "t2")


def test_an_unknown_one_is_refused() -> None:
    verdict = idem.resolve(record("unknown"), wanted(now=NOW + 10 * TTL))
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.unknown) == (409, True)


def test_an_unknown_one_goes_again_only_to_an_owner_that_dedupes() -> None:
    others = wanted(backend=ASYNC, idempotent=frozenset({ASYNC}))
    assert isinstance(idem.resolve(record("unknown", LEGACY), others), Refuse)
    owners = wanted(backend=LEGACY, idempotent=frozenset({ASYNC}))
    verdict = idem.resolve(record("unknown", ASYNC), owners)
    assert isinstance(verdict, Proceed)
    assert verdict.record.owner == ASYNC


def test_an_unknown_one_goes_again_only_while_its_owner_surely_remembers_the_key() -> None:
    unknown = record("unknown", ASYNC)
    for age, sent in ((0.89, Proceed), (0.91, Refuse)):
        verdict = idem.resolve(unknown, wanted(now=NOW + age * TTL, idempotent=frozenset({ASYNC})))
        assert isinstance(verdict, sent)


def test_where_keys_are_only_recorded_a_released_one_goes_where_the_weight_says() -> None:
    recorded = replace(wanted(backend=ASYNC), records_only=True)
    verdict = idem.resolve(record("released", LEGACY), recorded)
    assert isinstance(verdict, Proceed)
    assert not verdict.existing
    assert verdict.record.owner == ASYNC


def test_where_keys_are_only_recorded_an_unknown_one_is_claimed_again_only_if_it_goes_to_its_owner() -> None:
    recorded = replace(wanted(backend=ASYNC, idempotent=frozenset({LEGACY, ASYNC})), records_only=True)
    assert isinstance(idem.resolve(record("unknown", LEGACY), recorded), Refuse)
    verdict = idem.resolve(record("unknown", ASYNC), recorded)
    assert isinstance(verdict, Proceed)
    assert (verdict.existing, verdict.record.doubtful) == (False, True)


@pytest.mark.parametrize("state", ["completed", "released"])
def test_an_expired_key_is_a_new_one(state: State) -> None:
    verdict = idem.resolve(record(state, LEGACY, ANSWER), wanted(backend=ASYNC, body="other", now=NOW + TTL))
    assert isinstance(verdict, Proceed)
    assert not verdict.existing
    assert verdict.record.owner == ASYNC
    assert verdict.record.answer is None


@pytest.mark.parametrize("first", ["unknown", "released"])
def test_a_late_rerun_is_remembered_for_a_whole_ttl_from_its_completion(first: State) -> None:
    late = NOW + 0.8 * TTL if first == "unknown" else NOW + TTL - 1
    verdict = idem.resolve(record(first, LEGACY), wanted(now=late, idempotent=frozenset({LEGACY})))
    assert isinstance(verdict, Proceed)
    done = idem.complete(verdict.record, ANSWER, late + 5)
    assert done.expires_at == late + 5 + TTL
    assert idem.resolve(done, wanted("t3", ASYNC, now=late + 4 + TTL)) == Replay(LEGACY, ANSWER)


def test_a_slow_answer_and_a_late_one_are_remembered_for_a_whole_ttl() -> None:
    assert idem.complete(record("sent"), ANSWER, NOW + 3 * TTL).expires_at == NOW + 4 * TTL
    lost = idem.lose(record("sent"), NOW + 10)
    assert idem.complete(lost, ANSWER, NOW + 3 * TTL).expires_at == NOW + 4 * TTL
    assert idem.settle(lost, True, "operator", NOW + 3 * TTL).expires_at == NOW + 4 * TTL


@pytest.mark.parametrize(
    ("status", "idempotent", "expected"),
    [
        (200, False, "store"),
        (302, False, "store"),
        (400, False, "store"),
        (409, False, "store"),
        (401, False, "release"),
        (403, True, "release"),
        (429, False, "release"),
        (500, False, "unknown"),
        (503, False, "unknown"),
        (503, True, "failed"),
        (201, True, "store"),
    ],
)
def test_what_an_answer_says_about_the_write(status: int, idempotent: bool, expected: str) -> None:
    assert idem.after_response(record(), status, Backend(LEGACY, (), idempotent=idempotent)) == expected


def test_a_status_that_promises_that_nothing_happened_releases() -> None:
    backend = Backend(LEGACY, (), not_executed=frozenset({503}))
    assert idem.after_response(record(), 503, backend) == "release"
    assert idem.after_response(record(), 429, backend) == "store"


@pytest.mark.parametrize("status", [409, 423, 425])
@pytest.mark.parametrize("earlier", ["unknown", "failed"])
def test_a_conflict_while_an_earlier_outcome_is_open_is_not_the_answer(status: int, earlier: str) -> None:
    """An owner that dedupes says so while the first try still runs there; its client would pay anew."""
    first = idem.lose(record(), NOW) if earlier == "unknown" else idem.release(record(), NOW, failed=True)
    verdict = idem.resolve(first, wanted(idempotent=frozenset({LEGACY})))
    assert isinstance(verdict, Proceed)
    owner = Backend(LEGACY, (), idempotent=True, not_executed=frozenset({status}))
    assert idem.after_response(verdict.record, status, owner) == "in_use"
    assert idem.in_use(verdict.record, status)
    assert idem.after_response(record(), status, Backend(LEGACY, (), idempotent=True)) == "store"
    assert not idem.in_use(verdict.record, 400)


def test_a_key_of_which_nothing_ever_left_follows_the_weight() -> None:
    sent = idem.send(idem.claim(wanted("t1", LEGACY)))
    for token in ("t2", "t3"):
        verdict = idem.resolve(idem.withdraw(sent, NOW), wanted(token, ASYNC))
        assert verdict == Proceed(verdict.record, existing=False)  # type: ignore[union-attr, arg-type]
        assert isinstance(verdict, Proceed)
        assert verdict.record.owner == ASYNC
        sent = replace(verdict.record, owner=LEGACY)


def test_a_key_of_which_something_left_once_stays_with_its_owner() -> None:
    released = idem.release(idem.send(idem.claim(wanted("t1", LEGACY))), NOW)
    verdict = idem.resolve(released, wanted("t2", ASYNC))
    assert isinstance(verdict, Proceed)
    verdict = idem.resolve(idem.withdraw(verdict.record, NOW), wanted("t3", ASYNC))
    assert isinstance(verdict, Proceed)
    assert (verdict.existing, verdict.record.owner) == (True, LEGACY)


def test_version_0_1_sends_again_without_saying_that_something_left() -> None:
    withdrawn = idem.withdraw(idem.send(idem.claim(wanted("t1", LEGACY))), NOW)
    theirs = replace(withdrawn, token="old")  # released by it once more
    verdict = idem.resolve(theirs, wanted("t3", ASYNC))
    assert isinstance(verdict, Proceed)
    assert (verdict.existing, verdict.record.owner) == (True, LEGACY)


def test_a_key_released_by_a_5xx_goes_again_only_while_its_owner_surely_remembers_it() -> None:
    late = NOW + 0.8 * TTL
    released = idem.release(record("sent", ASYNC), late, failed=True)
    for age, sent in ((0.89, Proceed), (0.91, Refuse), (1.7, Refuse)):
        asked = wanted(now=NOW + age * TTL, idempotent=frozenset({ASYNC}))
        verdict = idem.resolve(released, asked)
        assert isinstance(verdict, sent)
    assert isinstance(verdict, Refuse)
    assert verdict.unknown
    assert verdict.record is not None
    assert verdict.record.state == "unknown", "operators find it in the list"
    assert isinstance(idem.resolve(idem.release(record("sent", ASYNC), late), asked), Proceed)


def test_what_a_5xx_left_open_stays_so_through_later_attempts() -> None:
    released = idem.release(record("sent", ASYNC), NOW, failed=True)
    again = idem.resolve(released, wanted(idempotent=frozenset({ASYNC})))
    assert isinstance(again, Proceed)
    assert idem.release(again.record, NOW).failed
    assert idem.withdraw(again.record, NOW).failed
    assert not idem.complete(again.record, ANSWER, NOW).failed
    assert not idem.settle(idem.lose(again.record, NOW), False, "o", NOW).failed


def test_nothing_expires_by_a_clock_that_was_set_forward() -> None:
    done = idem.complete(record("sent"), ANSWER, NOW)
    ahead = wanted(now=NOW + 25 * TTL)
    assert isinstance(idem.resolve(done, ahead), Proceed)
    assert isinstance(idem.resolve(done, replace(ahead, not_after=NOW + 5)), Replay)


def test_settling_shuts_out_the_late_answer_and_keeps_the_key_for_another_ttl() -> None:
    done = idem.settle(record("unknown"), True, "operator", NOW + 500)
    assert (done.token, done.note, done.expires_at) == ("operator", "settled", NOW + 500 + TTL)
    verdict = idem.resolve(done, wanted(now=NOW + 501))
    assert isinstance(verdict, Refuse)
    assert verdict.kind == "idempotency_settled"
    assert isinstance(idem.resolve(idem.settle(record("unknown"), False, "o", NOW), wanted()), Proceed)


def test_what_was_sent_again_in_doubt_stays_unknown_although_this_time_it_was_not_executed() -> None:
    verdict = idem.resolve(record("unknown", LEGACY), wanted(idempotent=frozenset({LEGACY})))
    assert isinstance(verdict, Proceed)
    assert idem.release(verdict.record, NOW).state == "unknown"
    assert idem.complete(verdict.record, ANSWER, NOW).state == "completed"


class Key(RuleBasedStateMachine):
    """Clients, backends, crashes and operators on one key, in any order; it is executed once."""

    def __init__(self) -> None:
        super().__init__()
        self.record: Record | None = None
        self.tries = 0
        self.executed: set[BackendName] = set()
        self.running: BackendName | None = None  # sent, and not heard of yet
        self.happened = False  # whether what is running was executed

    @rule(backend=st.sampled_from([LEGACY, ASYNC]))
    def request(self, backend: BackendName) -> None:
        self.tries += 1
        verdict = idem.resolve(self.record, wanted(f"t{self.tries}", backend))
        if isinstance(verdict, Proceed):
            assert self.running is None
            self.record, self.running = verdict.record, verdict.record.owner

    @precondition(lambda self: self.running and not self.happened)
    @rule()
    def executes(self) -> None:
        assert self.running is not None
        assert not self.executed, "executed twice"
        self.executed.add(self.running)
        self.happened = True

    @precondition(lambda self: self.running and self.record and self.record.state in ("sent", "unknown"))
    @rule()
    def is_answered(self) -> None:
        assert self.record is not None
        if self.happened:
            self.record = idem.complete(self.record, ANSWER, NOW)
        else:
            self.record = idem.release(self.record, NOW)
        self.running, self.happened = None, False

    @precondition(lambda self: self.record and self.record.state == "sent")
    @rule()
    def worker_dies(self) -> None:
        assert self.record is not None
        self.record = idem.lose(self.record, NOW)

    @precondition(lambda self: self.record and self.record.state == "unknown")
    @rule()
    def operator_settles(self) -> None:
        """Who has looked: what is not there by now will not come any more."""
        assert self.record is not None
        self.record = idem.settle(self.record, bool(self.executed), "operator", NOW)
        self.running, self.happened = None, False

    @invariant()
    def an_answer_means_that_it_was_executed(self) -> None:
        assert self.record is None or self.record.answer is None or len(self.executed) == 1


TestKey = Key.TestCase
TestKey.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
