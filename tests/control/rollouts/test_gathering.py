"""What speaks against a rollout, from what the control process sees."""

from __future__ import annotations

import pytest

from proxy.control.rollouts import legacy
from proxy.control.rollouts.about import About, about
from proxy.control.rollouts.versions import Versions
from proxy.core.traffic.totals import Figures
from proxy.core.wire.messages import AddressSeen, OpenBreaker, UnitReport
from tests.control.rollouts.conftest import MakeReplica
from tests.control.rollouts.replica import PLAN, Replica, bits, config
from tests.control.rollouts.test_runner import to_25

BUSY = Figures(10.0, 0.01, 0.01, 0.05, 0.1)


def kept(minute: Figures = BUSY) -> About:
    return legacy.measured(About(), 7.0, minute)


def test_a_baseline_waits_for_traffic_and_begins_anew_with_the_step() -> None:
    assert kept(BUSY._replace(requests_per_second=0.1)).errors is None
    first = kept()
    assert (first.errors, first.p95) == (0.01, 0.05)
    assert legacy.measured(first, 7.0, BUSY._replace(error_rate=0.5)) == first
    assert legacy.measured(first, 8.0, BUSY._replace(error_rate=0.5)).errors == 0.5


@pytest.mark.parametrize(
    ("minute", "said"),
    [
        (BUSY, ""),
        (BUSY._replace(error_rate=0.019), ""),
        (BUSY._replace(error_rate=0.03), "3 % of its requests fail, 1 % when the step began"),
        (BUSY._replace(p95=0.099), ""),
        (BUSY._replace(p95=0.2), "takes longer than 200 ms, 50 ms when the step began"),
        (BUSY._replace(error_rate=0.5, requests_per_second=0.1), ""),
        (Figures(), ""),
    ],
)
def test_legacy_is_worse_than_its_own_baseline_or_not(minute: Figures, said: str) -> None:
    assert said in legacy.worse(kept(), minute)
    assert bool(legacy.worse(kept(), minute)) == bool(said)


def test_a_doubt_whether_legacy_could_take_everything_back() -> None:
    assert not legacy.capacity(100.0, (50.0, 50.0), [])
    assert not legacy.capacity(10.0, (100.0, 0.0), [])
    assert "200 requests per second" in legacy.capacity(100.0, (50.0, 150.0), [])
    assert "does not answer" in legacy.capacity(100.0, (50.0, 50.0), ["legacy"])


def test_a_version_counts_from_when_it_was_heard_alone() -> None:
    versions = Versions()
    versions.hear([("GET /a", "1")], 10.0)
    versions.hear([("GET /a", "2"), ("GET /b", "1")], 20.0)
    versions.hear([("GET /a", "2"), ("GET /b", "2")], 30.0)
    assert (versions.version, versions.stable(90.0)) == ("2", 60.0)
    assert Versions().stable(5.0) == 0.0


def test_what_another_version_kept_is_read_as_far_as_it_is_known() -> None:
    assert about({"plan": "x", "peak": 3.0, "later": 1}) == About(plan="x", peak=3.0)
    assert about({"plan": 5}) == About()


@pytest.mark.anyio
async def test_an_open_breaker_holds(replica: Replica) -> None:
    await to_25(replica)
    replica.record(breakers=[OpenBreaker("GET /a", "open", 5)])
    for _ in range(20):
        replica.trials()
        replica.record(breakers=[OpenBreaker("GET /a", "open", 5)])
        await replica.tick()
    assert (replica.weight, replica.state) == (25, "holding")
    assert "breaker" in replica.of().reason


@pytest.mark.anyio
async def test_a_breaker_whose_time_is_over_does_not_hold_what_nobody_asks_for(replica: Replica) -> None:
    for _ in range(20):  # it opened before the rollback: at 0 no request comes that could close it
        replica.trials()
        replica.record(breakers=[OpenBreaker("GET /a", "open", 0)])
        await replica.tick()
    assert replica.weight > 0


@pytest.mark.anyio
async def test_it_advances_only_at_its_hours(make_replica: MakeReplica) -> None:
    hours = ', hours: "tue 10:00-11:00 UTC"'  # the clock begins on a Tuesday at 22:30
    replica = await make_replica(config("GET /a: {rollout: careful}", PLAN + hours))
    for _ in range(20):
        replica.trials()
        await replica.tick()
    assert (replica.weight, replica.state) == (0, "holding")
    replica.clock.ahead += 7 * 86_400 - 12 * 3600  # only the clock on the wall is set
    for _ in range(20):
        replica.trials()
        await replica.tick()
    assert replica.weight > 0


@pytest.mark.anyio
async def test_it_holds_until_answers_are_likely_equal(make_replica: MakeReplica) -> None:
    plan = PLAN.replace("parity: off", "parity: 2%")
    replica = await make_replica(config("GET /a: {rollout: careful, compare: {sample: 5%}}", plan))
    for _ in range(15):
        replica.trials()
        await replica.tick()
    assert (replica.weight, replica.state) == (0, "holding")
    assert "comparison" in replica.of().reason


@pytest.mark.anyio
async def test_requests_without_a_key_of_all_workers_and_processes_add_up(
    make_replica: MakeReplica,
) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await other.rollouts.runner.tick()
    label = one.of().label
    for replica, worker, units in ((one, "w", (20,)), (other, "w2", (40, 5000))):
        replica.collector.joined(worker, fresh=True)
        counts = (3, 1, 0, 0)
        report = UnitReport("GET /a", label, bits(units), b"", b"", b"", counts, (0, 0, 0, 0))
        replica.record(worker, units=[report])
    await other.tick(3)
    await one.rollouts.runner.tick()
    await one.tick(3)
    units = one.rollouts.board.results["GET /a"].evidence.now
    assert units.legacy == (6, 2, 0, 0)
    assert units.active.bit_count() >= 3


@pytest.mark.anyio
async def test_legacy_that_does_not_answer_is_a_doubt_that_is_said(replica: Replica) -> None:
    await to_25(replica)
    replica.record(addresses=[AddressSeen("legacy", "http://127.0.0.1:1", 5, False, 0.1, -1.0)])
    replica.trials()
    await replica.tick(1)
    for _ in range(15):
        replica.trials()
        replica.record(addresses=[AddressSeen("legacy", "http://127.0.0.1:1", 5, False, 0.1, -1.0)])
        await replica.tick()
    told = [each.details["reason"] for each in await replica.audited()]
    assert any("legacy does not answer" in each for each in told)
