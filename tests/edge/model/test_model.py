"""Every order of events, within bounds; `python -m tests.edge.model` goes on for longer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import pytest

from tests.edge.model import machine
from tests.edge.model.events import BY_NAME
from tests.edge.model.faults import FAULTS, put_back
from tests.edge.model.invariants import KINDS
from tests.edge.model.walk import Found, Walk, shortest

pytestmark = pytest.mark.interpreted

STEPS = 8_000
BOUND = 50_000  # steps within which a fault is found, whatever the seed; those given here are quick

SWEEP, WANTS = "sweep-does-not-look-again", "settling-wants-connection"
WAITED = "waited-unguarded"
GUARDS = ("connection-unguarded", "answer-unguarded", "end-unguarded", "client-unguarded")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Backends fail all the time here, and each time a line would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _sweep_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.services.CLIENT_SWEEP", 0.5)
    monkeypatch.setattr("proxy.edge.services.UPSTREAM_SWEEP", 0.1)


def without(*fixes: str, watched: frozenset[str] = KINDS, seed: int = 1) -> Found | None:
    with contextlib.ExitStack() as stack:
        for fix in fixes:
            stack.enter_context(put_back(fix))
        return Walk(seed, watched).go(BOUND)


def test_no_order_of_events_sends_twice_or_gives_a_foreign_answer() -> None:
    walk = Walk(seed=11, watched=KINDS)
    found = walk.go(STEPS)
    assert found is None, str(shortest(found))
    assert walk.happened.keys() == BY_NAME.keys()
    assert min(walk.answers[kind] for kind in ("relayed", "replayed", "own")) > 10


def test_nor_does_one_that_hypothesis_chooses() -> None:
    assert machine.explore(worlds=30, seed=1, watched=KINDS) > 500


@pytest.mark.parametrize(
    ("fix", "wrong", "seed"),
    [
        (SWEEP, "early deadline", 1),
        ("settling-late", "unsettled", 1),
        ("made-is-counted-twice", "miscounted", 1),
    ],
)
def test_a_fix_that_is_taken_out_is_missed(fix: str, wrong: str, seed: int) -> None:
    found = without(fix, seed=seed)
    assert found is not None
    assert found.kind == wrong


@pytest.mark.parametrize(
    ("guard", "what", "seed"),
    [
        ("connection-unguarded", "connection_unasked", 5),
        ("answer-unguarded", "answer_unasked", 6),
        ("end-unguarded", "ended_twice", 1),
        ("client-unguarded", "foreign_answer", 6),
    ],
)
def test_each_guard_catches_what_all_others_let_through(guard: str, what: str, seed: int) -> None:
    """Alone they are not missed: each stands behind another."""
    others = [other for other in GUARDS if other != guard]
    found = without(SWEEP, WANTS, WAITED, *others, watched=frozenset({"caught"}), seed=seed)
    assert found is not None
    assert found.wrong.startswith(f"caught: {what}")


def test_without_any_of_them_clients_or_backends_see_it() -> None:
    seen = frozenset({"foreign answer", "sent twice"})
    found = without(SWEEP, WANTS, WAITED, *GUARDS, watched=seen, seed=6)
    assert found is not None
    assert found.kind in seen


def test_all_faults_are_looked_for() -> None:
    assert {SWEEP, WANTS, WAITED, *GUARDS, "settling-late", "made-is-counted-twice"} == FAULTS.keys()


def test_what_is_found_is_made_short() -> None:
    with put_back(SWEEP):
        found = Walk(1, KINDS).go(BOUND)
        assert found is not None
        short = shortest(found)
    assert short.kind == found.kind
    assert len(short.steps) <= 10
