"""An async that is slow, and one that answers with wrong cents, each in a rollout of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.rollouts.real.crowd import Crowd
from bench.rollouts.real.stack import Proxy
from tests.e2e.rollouts.conftest import Backends

OFF = {"failing": "off", "no_worse": "off", "slower": "off", "parity": "off"}
PLANS: dict[str, Any] = {
    "slow": {"steps": [25, 50, 100], "dwell": "2s", "advance": {**OFF, "slower": 1.2}},
}
COMPARED = {"steps": [0, 50, 100], "dwell": "2s", "advance": {**OFF, "parity": "20%"}}
for name in ("wrong", "right"):
    PLANS[name] = COMPARED
RATES = {"/slow": 60, "/wrong": 25, "/right": 25}
USERS = 4000


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, backends: Backends) -> Iterator[Proxy]:
    """Each endpoint is in a plan and a group of its own, so that none waits for another."""
    backends[1].told({"/slow": {"sleep": 0.1}, "/wrong": {"cents": 1}})
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
