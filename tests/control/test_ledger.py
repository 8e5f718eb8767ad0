from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.control import ledger
from proxy.control.admin.json.records import ledger_json
from proxy.control.ledger import Ledger
from proxy.control.state import State
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Labelled, Requests

DAY = 86_400.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(state: State, clock: Clock, tmp_path: Path) -> Ledger:
    return make(state, clock, tmp_path)


def make(state: State, clock: Clock, directory: Path) -> Ledger:
    url = f"sqlite:///{directory}/state.db"
    return Ledger(url, state.collector, lambda: state.reloader.running.snapshot, clock)


def served(state: State, count: int, *unlisted: str) -> None:
    """Totals of one worker: `count` requests to legacy by fallback, and one to each unlisted path."""
    state.collector.joined("w", fresh=True)
    state.collector.record(
        "w",
        msgspec.structs.replace(
            EMPTY,
            requests=[Requests("GET /a/{id}", "legacy", "fallback", 200, count)],
            unlisted=[Labelled(path, "legacy", 1) for path in unlisted],
        ),
    )


def weight(state: State, number: object) -> None:
    path = state.reloader.path
    path.write_text(path.read_text().replace("weight: 12.5", f"weight: {number}"))
    asyncio.run(state.reloader.reload("test"))


def first(made: Ledger) -> dict[str, Any]:
    row: dict[str, Any] = ledger_json(made.migration())["endpoints"][0]
    return row


def test_what_was_counted_outlives_the_process(
    made: Ledger, state: State, clock: Clock, tmp_path: Path
) -> None:
    served(state, 5)
    asyncio.run(made.flush())
    clock.now += 60
    later = make(state, clock, tmp_path)
    state.collector.left("w")
    later._seen = {("GET /a/{id}", "legacy", "fallback"): 5}
    asyncio.run(later.flush())
    assert first(later)["legacy"] == {"fallback": 5}
    assert first(later)["last_hit"] == {"legacy": 1_000_000.0, "async": None}


def test_an_endpoint_at_100_is_done_after_seven_quiet_days(made: Ledger, state: State, clock: Clock) -> None:
    made.look()
    assert first(made)["progress"] == "moving"
    weight(state, 100)
    made.look()
    assert first(made)["progress"] == "waiting"
    clock.now += 6 * DAY
    served(state, 2)
    made.look()
    assert (first(made)["progress"], first(made)["legacy"]) == ("legacy still hit", {"fallback": 2})
    clock.now += 7.5 * DAY
    made.look()
    assert (first(made)["progress"], first(made)["days"]) == ("done", 13.5)


def test_hits_count_from_when_the_weight_became_what_it_is(made: Ledger, state: State) -> None:
    served(state, 5)
    made.look()
    weight(state, 100)
    asyncio.run(made.flush())
    assert (first(made)["legacy"], first(made)["progress"]) == ({}, "waiting")


def test_what_an_adopted_worker_did_before_is_no_hit_of_today(made: Ledger, state: State) -> None:
    state.collector.joined("old", fresh=False)
    old = msgspec.structs.replace(EMPTY, requests=[Requests("GET /a/{id}", "legacy", "weight", 200, 99)])
    state.collector.record("old", old)
    made.look()
    assert first(made)["legacy"] == {}


def test_unlisted_paths_are_listed_and_bounded(
    made: Ledger, state: State, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_UNLISTED", 2)
    served(state, 0, "GET /old", "GET /x", "GET /y")
    asyncio.run(made.flush())
    assert len(ledger_json(made.migration())["unlisted"]) == 2
    assert made.unlisted_since(clock.now - DAY) == 2
    assert made.unlisted_since(clock.now + 1) == 0
    assert made.unlisted_lately() == 2
    clock.now += DAY + 1
    assert made.unlisted_lately() == 0


def test_of_paths_hit_together_those_with_clients_stay(
    made: Ledger, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_UNLISTED", 2)
    served(state, 0, "GET /a", "GET /b", "GET /orders", "GET /orders")
    made.look()
    assert "GET /orders" in {each["path"] for each in ledger_json(made.migration())["unlisted"]}


def test_a_path_that_a_worker_forgot_counts_anew_and_never_backwards(made: Ledger, state: State) -> None:
    for paths in (["GET /x"] * 5, ["GET /x"] * 2, ["GET /x"] * 3, [], ["GET /x"]):
        served(state, 0, *paths)
        made.look()
    assert ledger_json(made.migration())["unlisted"] == [{"path": "GET /x", "hits": 7}]


def test_what_the_store_never_had_need_not_be_deleted_there(
    made: Ledger, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_UNLISTED", 2)
    (tmp_path / "state.db").mkdir()
    for number in range(20):
        served(state, 0, *(f"GET /scan/{number}/{each}" for each in range(5)))
        asyncio.run(made.flush())
    assert not made._gone
    assert len(made._changed) <= 2


def test_without_a_store_it_goes_on_in_memory(made: Ledger, state: State, tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    served(state, 5)
    asyncio.run(made.flush())
    assert first(made)["legacy"] == {"fallback": 5}


def test_whatever_a_driver_raises_the_ledger_goes_on(state: State, caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://u@127.0.0.1:1/none?nonsense=1"
    made = Ledger(url, state.collector, lambda: state.reloader.running.snapshot)
    served(state, 3)
    asyncio.run(made.flush())
    assert "nonsense" in caplog.text
    assert first(made)["legacy"] == {"fallback": 3}


def test_since_when_keys_are_claimed_outlives_the_process(
    made: Ledger, state: State, clock: Clock, tmp_path: Path
) -> None:
    path = state.reloader.path
    path.write_text(path.read_text() + "  POST /k: {weight: 0}\n")
    asyncio.run(state.reloader.reload("test"))
    asyncio.run(made.flush())
    clock.now += DAY
    later = make(state, clock, tmp_path)
    asyncio.run(later.flush())
    assert later.keys()["POST /k"].known_at == clock.now
    path.write_text(
        path.read_text().replace("POST /k: {weight: 0}", "POST /k: {weight: 0, idempotency: off}")
    )
    asyncio.run(state.reloader.reload("test"))
    asyncio.run(later.flush())
    last = make(state, clock, tmp_path)
    asyncio.run(last.flush())
    assert set(last.keys()) == {"POST /b"}
