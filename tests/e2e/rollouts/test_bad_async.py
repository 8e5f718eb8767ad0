"""An async that is dead, slow, wrong or fails a few, each in a rollout of its own; and sound ones beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.rollouts.real.crowd import Crowd
from bench.rollouts.real.stack import Proxy
from tests.e2e.rollouts.conftest import Backends
from tests.support.waiting import eventually

OFF = {"failing": "off", "no_worse": "off", "slower": "off", "parity": "off"}
DEAD = {"steps": [5, 100], "dwell": "1s", "advance": OFF, "approve": [100]}
PLANS: dict[str, Any] = {
    "slow": {"steps": [25, 50, 100], "dwell": "2s", "advance": {**OFF, "slower": 1.2}},
}
COMPARED = {"steps": [0, 50, 100], "dwell": "2s", "advance": {**OFF, "parity": "20%"}}
FEW = {"steps": [25, 50, 100], "dwell": "2s", "advance": {**OFF, "failing": "1%"}}
for name in ("wrong", "right"):
    PLANS[name] = COMPARED
for name in ("rare", "sound"):
    PLANS[name] = FEW
RATES = {"/slow": 60, "/wrong": 25, "/right": 25, "/rare": 200, "/sound": 200}
USERS = 4000


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, backends: Backends) -> Iterator[Proxy]:
    """Each endpoint is in a plan and a group of its own, so that none waits for another."""
    backends[1].told({"/slow": {"sleep": 0.1}, "/wrong": {"cents": 1}, "/rare": {"fails": 100}})
    compared = {"compare": {"sample": "100%", "parity": "20%"}}
    endpoints = {
        f"GET /{name}": {"rollout": name, **(compared if name in ("wrong", "right") else {})}
        for name in PLANS
    }
    made = Proxy(tmp_path_factory.mktemp("s"), backends, PLANS, endpoints)
    try:
        made.up()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def crowd(proxy: Proxy) -> Iterator[Crowd]:
    with Crowd(lambda: [proxy.data], RATES, USERS) as made:
        yield made


def test_a_slow_async_never_goes_beyond_the_step_where_it_is_slow(proxy: Proxy, crowd: Crowd) -> None:
    assert "async is slow more often than legacy" in proxy.comes_back("/slow")["reason"]
    assert proxy.moves("/slow") == [(0, 25), (25, 0)]
    assert not crowd.failed("/slow")


def test_wrong_answers_keep_everybody_on_legacy(proxy: Proxy, crowd: Crowd) -> None:
    proxy.reaches("/right", 50)
    found = proxy.rollout("/wrong")
    assert (found["weight"], found["state"]) == (0, "holding")
    assert "the comparison says: differs" in found["reason"]
    assert proxy.moves("/wrong") == []
    assert {each.backend for each in crowd.of("/wrong")} == {"legacy"}


def test_one_failing_user_in_a_hundred_keeps_it_from_100(proxy: Proxy, crowd: Crowd) -> None:
    proxy.reaches("/sound", 100, "done")
    eventually(lambda: proxy.rollout("/rare")["state"] in ("holding", "rolled_back"), "it is held or back")
    assert max(after for _, after in proxy.moves("/rare")) < 100
    assert proxy.moves("/sound") == [(0, 25), (25, 50), (50, 100)]
    failed = crowd.failed("/rare")
    assert failed
    assert not [user for user in failed if user % 100]
    assert not crowd.failed("/sound")


def test_a_dead_async_is_left_after_a_handful_of_users_who_notice_nothing(
    tmp_path: Path, backends: Backends
) -> None:
    proxy = Proxy(tmp_path, backends, {"dead": DEAD}, {"GET /dead": {"rollout": "dead"}})
    try:
        proxy.up()
        with Crowd(lambda: [proxy.data], {"/dead": 60}, USERS) as crowd:
            proxy.reaches("/dead", 5, "approval")
            eventually(lambda: any(each.backend == "async" for each in crowd.got), "async answers")
            backends[1].kill()
            found = proxy.comes_back("/dead")
            answered = len(crowd.got)
            eventually(lambda: len(crowd.got) > answered + 50, "legacy answers all")
    finally:
        proxy.close()
    failing = found["evidence"]["failed_in_step"]["failing"]
    print(f"a dead async at 5 % failed {failing['async']} users before it was left")
    assert (found["why"], found["before"], found["weight"]) == ("failing", 5, 0)
    assert 0 < failing["async"] <= 10
    assert failing["legacy"] == 0
    assert {each.backend for each in crowd.got[answered + 10 :]} == {"legacy"}
    assert not crowd.failed("/dead")
