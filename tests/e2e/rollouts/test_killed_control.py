"""The control process is killed in the middle of an advance and of a rollback, at each point of its way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.rollouts.real.crowd import Crowd, Got
from bench.rollouts.real.stack import Proxy
from proxy.cli.demo.postgres import Postgres
from tests.e2e.rollouts.conftest import Backends
from tests.e2e.rollouts.gates import TRIGGERS, Gate
from tests.support.waiting import eventually

OFF = {"failing": "off", "no_worse": "off", "slower": "off", "parity": "off"}
STEPS = [0, 20, 40, 60, 80, 100]
PLAN = {"steps": STEPS, "dwell": "1s", "advance": OFF, "approve": STEPS[1:]}  # it rises when we say so
PATIENT = {"consecutive": 1000, "min_requests": 1000}  # an open breaker would hold the next attempt
USERS = 300


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> Iterator[str]:
    yield postgres.database("killed_control")
    postgres.drop("killed_control")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, backends: Backends, url: str) -> Iterator[Proxy]:
    endpoints = {"GET /a": {"rollout": "plan"}}
    made = Proxy(tmp_path_factory.mktemp("s"), backends, {"plan": PLAN}, endpoints, url, 2, breaker=PATIENT)
    try:
        made.up()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def gate(proxy: Proxy, url: str) -> Iterator[Gate]:
    made = Gate(url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def crowd(proxy: Proxy) -> Iterator[Crowd]:
    with Crowd(lambda: [proxy.data], {"/a": 100}, USERS) as made:
        yield made


def next_one(proxy: Proxy, gate: Gate) -> None:
    """The process is killed already; another begins, and leads at once."""
    gate.lease_is_free()
    proxy.up()


def approve(proxy: Proxy) -> None:
    proxy.post("/api/v1/rollouts/approve", {"endpoint": "GET /a"}).raise_for_status()


def sides(got: list[Got]) -> set[tuple[str, ...]]:
    """Who answered a user, one after the other: what any user saw."""
    users: dict[int, list[str]] = {}
    for each in got:
        seen = users.setdefault(each.user, [])
        if seen[-1:] != [each.backend]:
            seen.append(each.backend)
    return {tuple(seen) for seen in users.values()}


def goes_on(crowd: Crowd) -> int:
    """Workers serve without the control process; the answers before."""
    seen = len(crowd.got)
    eventually(lambda: len(crowd.got) > seen + 30, "workers go on")
    return seen


@contextmanager
def one_worker_stopped(proxy: Proxy) -> Iterator[None]:
    """It hears nothing meanwhile, so what is on its way to the workers has reached one of two."""
    stopped = proxy.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_killed_in_the_middle_of_an_advance_no_step_is_taken_twice(
    proxy: Proxy, gate: Gate, crowd: Crowd
) -> None:
    weight = 0
    for point in TRIGGERS:
        proxy.reaches("/a", weight, "approval")
        with gate.held(point):
            approve(proxy)
            gate.until_somebody_waits()
            proxy.kill()
        goes_on(crowd)
        stored = weight + 20 if point == "at the commit" else weight  # though nobody lived to hear of it
        eventually(lambda stored=stored: gate.stored_weight() == stored, "the transaction is over")
        next_one(proxy, gate)
        weight += 20
        proxy.reaches("/a", weight)
    assert sides(crowd.got) <= {("legacy",), ("async",), ("legacy", "async")}
    proxy.reaches("/a", weight, "approval")
    with one_worker_stopped(proxy):
        approve(proxy)
        proxy.reaches("/a", weight + 20)
        proxy.kill()
    goes_on(crowd)
    next_one(proxy, gate)
    proxy.reaches("/a", weight + 20, "approval")
    approve(proxy)
    proxy.reaches("/a", 100, "done")
    assert proxy.moves("/a") == [(0, 20), (20, 40), (40, 60), (60, 80), (80, 100)]
    assert {each.backend for each in crowd.got[goes_on(crowd) :]} == {"async"}
    assert not crowd.failed("/a")


def test_killed_in_the_middle_of_a_rollback_it_is_back_all_the_same(
    proxy: Proxy, gate: Gate, crowd: Crowd, backends: Backends
) -> None:
    if proxy.rollout("/a")["weight"]:
        proxy.post("/api/v1/rollouts/abort", {"endpoint": "GET /a"}).raise_for_status()
    for point in (*TRIGGERS, None):
        proxy.post("/api/v1/rollouts/retry", {"endpoint": "GET /a"}).raise_for_status()
        proxy.reaches("/a", 0, "approval")
        approve(proxy)
        proxy.reaches("/a", 20, "approval")
        before = len(proxy.moves("/a"))
        with one_worker_stopped(proxy) if point is None else gate.held(point):
            if point is None:
                proxy.post("/api/v1/rollouts/abort", {"endpoint": "GET /a"}).raise_for_status()
            else:
                backends[1].told({"/a": {"fails": 2}})
                gate.until_somebody_waits()
            assert proxy.rollout("/a")["weight"] == 0, (
                proxy.rollout("/a"),
                proxy.log(),
            )  # before it is stored
            proxy.kill()
        backends[1].told({"/a": {}})
        seen = goes_on(crowd)
        next_one(proxy, gate)
        assert proxy.comes_back("/a")["weight"] == 0
        assert {each.backend for each in crowd.got[seen + 20 :]} == {"legacy"}
        moved = [after for _, after in proxy.moves("/a")[before:]]
        assert moved.count(0) == 1, point
        assert moved[-1] == 0
