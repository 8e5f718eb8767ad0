"""Two replicas on one PostgreSQL: it hangs, it dies, the one that leads dies, or is stopped and wakes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.rollouts.real.crowd import Crowd
from bench.rollouts.real.stack import Proxy
from proxy.cli.demo import postgres as own_postgres
from proxy.cli.demo.postgres import Postgres
from tests.e2e.rollouts.conftest import Backends
from tests.e2e.rollouts.gates import Gate
from tests.faults.saturation.stores import family, stopped
from tests.support.waiting import eventually

OFF = {"failing": "off", "no_worse": "off", "slower": "off", "parity": "off"}
PLANS = {
    "rising": {"steps": [*range(0, 100, 5), 100], "dwell": "3s", "advance": OFF},
    "held": {"steps": [40, 100], "dwell": "3s", "advance": OFF, "approve": [100]},
}
ENDPOINTS = {
    "GET /a": {"rollout": "rising"},
    "GET /hung": {"rollout": "held"},
    "GET /dead": {"rollout": "held"},
}
PATIENT = {"consecutive": 1000, "min_requests": 1000}  # an open breaker shields the evidence
LEADS = 10.0  # seconds until another does
FOLLOWS = 2.0  # seconds until the others are at its weight
Replicas = tuple[Proxy, Proxy]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Our own, which may be stopped and killed."""
    with own_postgres.running(tmp_path_factory.mktemp("pg") / "data", durable=False) as made:
        yield made


@pytest.fixture(scope="module")
def url(server: Postgres) -> str:
    return server.database("rollouts")


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, backends: Backends, url: str) -> Iterator[Replicas]:
    made = [
        Proxy(tmp_path_factory.mktemp("s"), backends, PLANS, ENDPOINTS, url, breaker=PATIENT)
        for _ in range(2)
    ]
    try:
        for each in made:
            each.start()
        for each in made:
            each.until_up()
        yield made[0], made[1]
    finally:
        for each in made:
            each.close()


@pytest.fixture(scope="module")
def crowd(replicas: Replicas) -> Iterator[Crowd]:
    rates = {"/a": 40, "/hung": 40, "/dead": 40}
    with Crowd(lambda: [each.data for each in replicas], rates, 300) as made:
        yield made


def leads(proxy: Proxy) -> bool:
    return bool(proxy.get("/api/v1/rollouts")["leads"])


def in_order(replicas: Replicas) -> tuple[Proxy, Proxy]:
    """The one that leads first."""
    first = eventually(lambda: next((each for each in replicas if leads(each)), None), "one leads")
    assert first is not None
    return first, next(each for each in replicas if each is not first)


def each_step_once(proxy: Proxy) -> None:
    """From 0 without a gap; a step that moves nobody may be left out."""
    moves = proxy.moves("/a")
    assert [before for before, _ in moves] == [0, *(after for _, after in moves[:-1])]
    assert all(before < after for before, after in moves)


def rises(proxy: Proxy) -> float:
    """Waits for the next step; the weight."""
    before = proxy.rollout("/a")["weight"]
    eventually(lambda: proxy.rollout("/a")["weight"] > before, "the next step")
    return float(proxy.rollout("/a")["weight"])


def same(replicas: Replicas) -> None:
    def alike() -> bool:
        one, other = (each.rollout("/a")["weight"] for each in replicas)
        return bool(one == other)

    eventually(alike, "both show the same weight", within=FOLLOWS)


def test_a_leader_that_is_stopped_in_a_transaction_loses_the_lead_and_changes_nothing(
    replicas: Replicas, crowd: Crowd, url: str
) -> None:
    first, second = in_order(replicas)
    rises(first)
    gate = Gate(url)
    with gate.held("before the swap"):
        gate.until_somebody_waits()
        os.kill(first.process.pid, signal.SIGSTOP)
    try:  # its transaction is open, with the lease's row locked
        begun = time.monotonic()
        eventually(lambda: leads(second), "the other leads")
        print(f"the other leads after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun <= LEADS
        weight = rises(second)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    gate.close()
    eventually(lambda: first.rollout("/a")["weight"] >= weight, "the old one follows", within=FOLLOWS * 2)
    assert (leads(first), leads(second)) == (False, True)
    rises(second)
    same(replicas)
    each_step_once(second)


def test_a_leader_that_is_killed_is_replaced_within_10_seconds(replicas: Replicas, crowd: Crowd) -> None:
    first, second = in_order(replicas)
    rises(first)
    first.kill()
    begun = time.monotonic()
    eventually(lambda: leads(second), "the other leads")
    print(f"the other leads after {time.monotonic() - begun:.1f} s")
    assert time.monotonic() - begun <= LEADS
    rises(second)
    first.up()
    same(replicas)
    each_step_once(second)


@pytest.mark.parametrize("how", ["hung", "dead"])
def test_without_the_database_nothing_rises_and_what_fails_comes_back_at_once(
    how: str, replicas: Replicas, crowd: Crowd, backends: Backends, server: Postgres, url: str
) -> None:
    first, _ = in_order(replicas)
    path = f"/{how}"
    first.reaches(path, 40, "approval")
    pids = family(_postmaster(server))
    weight = first.rollout("/a")["weight"]
    if how == "dead":
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    with stopped(pids if how == "hung" else []):
        eventually(lambda: all(each.get("/api/v1/rollouts")["problem"] for each in replicas), "they say so")
        assert first.rollout("/a")["weight"] <= weight + 5
        weights = [each.rollout("/a")["weight"] for each in replicas]
        backends[1].told({path: {"fails": 1}})
        begun = time.monotonic()
        for each in replicas:
            eventually(lambda each=each: each.rollout(path)["weight"] == 0, "it is back")
        print(f"database {how}: back on both after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 8
        seen = len(crowd.of(path))
        eventually(lambda: len(crowd.of(path)) > seen + 40, "serving goes on")
        assert {each.backend for each in crowd.of(path)[seen + 10 :]} == {"legacy"}
        assert [each.rollout("/a")["weight"] for each in replicas] == weights
    if how == "dead":
        assert server.server is not None
        server.server.start()
    backends[1].told({path: {}})
    second = first
    eventually(lambda: not second.get("/api/v1/rollouts")["problem"], "it is there again")
    assert first.comes_back(path)["weight"] == 0
    assert [after for _, after in first.moves(path)] == [40, 0]
    rises(first)
    same(replicas)
    each_step_once(first)


def _postmaster(server: Postgres) -> int:
    assert server.server is not None
    return int((Path(server.server.pgdata) / "postmaster.pid").read_text().split()[0])
