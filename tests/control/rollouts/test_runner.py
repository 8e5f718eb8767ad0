"""The runner in every circumstance, with a clock and a collector in our hands."""

from __future__ import annotations

import asyncio

import pytest

from proxy.control.rollouts.kept import Keeper
from proxy.store.lease import LEASE
from tests.control.rollouts.conftest import MakeReplica
from tests.control.rollouts.replica import PLAN, A, Clock, Replica, config, on_async

pytestmark = pytest.mark.anyio


async def to_25(replica: Replica) -> None:
    """Through the steps before."""
    for _ in range(60):
        if replica.weight == 25:
            return
        replica.trials()
        await replica.tick()
    raise AssertionError(f"still at {replica.weight}: {replica.of().reason}")


async def test_it_goes_from_0_to_100_on_evidence_and_says_so(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    seen = [replica.weight]
    for _ in range(120):
        replica.trials()
        await replica.tick()
        if replica.weight != seen[-1]:
            seen.append(replica.weight)
        assert replica.on_workers == replica.weights
    assert seen == [0, 1, 25, 100]
    assert replica.state == "done"
    assert (await replica.stored()).position == replica.of()
    audited = [each for each in await replica.audited() if each.action == "rollout running"]
    assert [each.details["weight"] for each in reversed(audited)][-3:] == [1, 25, 100]
    assert audited[0].details["evidence"]["active"]
    assert "rollout of GET /a: running (1 -> 25)" in caplog.text
    assert [each.endpoints[0].weight for each in replica.began][-1] == 10_000
    assert {change for change in replica.rollouts.board.changes if change[1] == "done"}


async def test_it_holds_without_traffic(replica: Replica) -> None:
    await replica.tick(40)
    assert (replica.weight, replica.state) == (0, "holding")
    (found,) = replica.rollouts.figures().rollouts
    assert found.shown["missing"]
    assert found.shown["eta_seconds"] is None


async def test_async_that_fails_is_rolled_back_at_once(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    await to_25(replica)
    replica.trials(fails=lambda bucket: on_async(bucket) and bucket % 50 == 0)
    await replica.tick()
    assert (replica.weight, replica.on_workers["GET /a"], replica.state) == (0, 0, "rolled_back")
    stored = await replica.stored()
    assert (stored.position.state, stored.position.weight) == ("rolled_back", 0)
    (told,) = [each for each in await replica.audited() if each.action == "rollout rolled back"]
    assert told.details["before"] == 25
    assert told.details["evidence"]["failed"]["failing"]["async"] == 200
    assert "async fails more often than legacy" in caplog.text
    (alarm,) = replica.rollouts.alarms()
    assert (alarm.kind, alarm.subject, alarm.serious) == ("rollout", "GET /a", True)
    await replica.tick(30)
    assert (replica.weight, replica.state) == (0, "rolled_back")


async def test_a_rollback_is_on_disk_before_any_worker_is_told(replica: Replica) -> None:
    await to_25(replica)
    kept: list[float] = []

    def look() -> None:
        kept.extend(each.weight for each in Keeper(replica.folder).read().lowered.values())

    replica.told.before = look
    replica.trials(fails=on_async)
    await replica.tick()
    assert kept == [0]
    assert not Keeper(replica.folder).read().lowered or replica.of().state == "rolled_back"


async def test_two_processes_never_both_lead_and_the_other_follows(make_replica: MakeReplica) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    seen = set()
    for _ in range(60):
        one.trials()
        await one.tick()
        await other.rollouts.runner.tick()
        seen.add((one.rollouts.board.leads, other.rollouts.board.leads))
        assert other.weight == one.weight
    assert seen == {(True, False)}
    assert one.weight == 100
    assert other.of() == one.of()


async def test_when_the_leader_dies_the_other_goes_on_without_a_jump(
    make_replica: MakeReplica, clock: Clock
) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await one.tick()
    before = await one.stored()
    await one.close()
    await other.rollouts.runner.tick()
    assert (other.weight, other.rollouts.board.leads) == (25, False)
    await _expire(one.url)
    clock.steady += LEASE
    await other.rollouts.runner.tick()
    assert (other.weight, other.rollouts.board.leads) == (25, True)
    assert other.of().attempt == before.position.attempt
    assert other.of().stepped == before.position.stepped


async def test_a_process_that_starts_again_goes_on_where_it_was(
    make_replica: MakeReplica, clock: Clock
) -> None:
    one = await make_replica()
    await to_25(one)
    await one.tick(2)
    position, told = one.of(), one.told.positions[-1]
    await one.close()
    again = await make_replica()
    assert (again.weight, again.of().label) == (25, position.label)
    assert again.told.positions[0].endpoints == told.endpoints
    assert again.told.positions[0].generation > told.generation


async def test_evidence_goes_on_in_the_next_process(make_replica: MakeReplica, clock: Clock) -> None:
    one = await make_replica()
    await to_25(one)
    one.trials(fails=lambda bucket: bucket in (20, 5000))
    await one.tick(6)
    before = one.rollouts.board.results["GET /a"].e_values["failing"]
    assert before is not None
    assert before > 2
    await one.close()
    await _expire(one.url)
    again = await make_replica()
    await again.tick()
    assert again.rollouts.board.results["GET /a"].e_values["failing"] == pytest.approx(before)
    assert again.weight == 25


async def test_the_database_is_away_nothing_advances_and_a_rollback_goes_out(
    make_replica: MakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    one = await make_replica()
    await to_25(one)
    one.database.away = True
    for _ in range(40):
        one.trials()
        await one.tick()
    assert one.weight == 25
    assert caplog.text.count("the state database does not answer") == 1
    assert one.rollouts.figures().problem
    one.trials(fails=on_async)
    await one.tick()
    assert (one.weight, one.on_workers["GET /a"], one.state) == (0, 0, "rolled_back")
    await one.tick(5)
    assert (await one.stored()).position.weight == 2500
    one.database.away = False
    await one.tick(2)
    stored = (await one.stored()).position
    assert (stored.state, stored.weight) == ("rolled_back", 0)
    assert (one.weight, one.state) == (0, "rolled_back")
    assert not one.rollouts.board.lowered
    assert next(each.action for each in await one.audited()) == "rollout rolled back"


async def test_a_rollback_that_the_database_missed_outlives_the_process(make_replica: MakeReplica) -> None:
    one = await make_replica()
    await to_25(one)
    one.database.away = True
    one.trials(fails=on_async)
    await one.tick()
    await one.close()
    again = await make_replica(away=True)
    assert (again.weight, again.on_workers["GET /a"]) == (0, 0)
    await again.close()
    third = await make_replica()
    assert (third.weight, third.on_workers["GET /a"]) == (0, 0)
    await third.tick(2)
    assert (await third.stored()).position.state == "rolled_back"


async def test_the_lowest_of_two_wins(make_replica: MakeReplica) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await other.rollouts.runner.tick()
    other.database.away = True
    other.trials(fails=on_async)
    await other.rollouts.runner.tick()
    assert (other.weight, one.weight) == (0, 25)
    other.database.away = False
    await other.rollouts.runner.tick()
    await one.tick()
    assert (other.weight, one.weight, one.state) == (0, 0, "rolled_back")


async def test_without_the_database_it_starts_from_disk_else_from_0(make_replica: MakeReplica) -> None:
    one = await make_replica()
    await to_25(one)
    await one.close()
    from_disk = await make_replica(away=True)
    assert (from_disk.weight, from_disk.on_workers["GET /a"]) == (25, 25)
    from_nothing = await make_replica(name="empty", away=True)
    assert from_nothing.weight == 0
    from_nothing.database.away = False
    await from_nothing.tick()
    assert from_nothing.weight == 25


async def test_a_weight_typed_into_the_file_takes_over_at_once_and_ends_the_rollout(
    make_replica: MakeReplica,
) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await other.rollouts.runner.tick()
    one.reload(config("GET /a: {weight: 60}"))
    assert one.weight == 60
    await one.tick()
    stored = await one.stored()
    assert stored.about["ended"]
    assert next(each.details["why"] for each in await one.audited()) == "ended"
    await other.rollouts.runner.tick()
    assert other.weight == 25  # its file is still the old one
    await one.tick(20)
    assert one.weight == 60
    assert not one.rollouts.figures().rollouts


async def test_a_plan_in_place_of_a_weight_begins_at_the_step_below_it(
    make_replica: MakeReplica,
) -> None:
    one = await make_replica(config("GET /a: {weight: 30}"))
    assert not one.told.positions
    one.reload(A)
    assert (one.weight, one.on_workers["GET /a"], one.state) == (25, 25, "running")
    await one.tick()
    assert (one.weight, (await one.stored()).position.weight) == (25, 2500)
    one.reload(config("GET /a: {weight: 2}"))
    await one.tick()
    one.reload(A)
    await one.tick()
    assert (one.weight, one.of().attempt) == (1, 2)


async def test_a_changed_plan_is_a_new_attempt_from_the_step_that_is_not_above(
    make_replica: MakeReplica,
) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await other.rollouts.runner.tick()
    changed = config("GET /a: {rollout: careful}", PLAN.replace("25", "5, 50"))
    one.reload(changed)
    other.reload(changed)
    assert (one.weight, other.weight) == (5, 5)
    await one.tick()
    await other.rollouts.runner.tick()
    stored = (await one.stored()).position
    assert (stored.weight, stored.attempt) == (500, 2)
    assert other.of() == one.of() == stored


async def test_what_was_rolled_back_stays_so_when_its_plan_changes(replica: Replica) -> None:
    await to_25(replica)
    replica.trials(fails=on_async)
    await replica.tick()
    replica.reload(config("GET /a: {rollout: careful}", PLAN.replace("10s", "11s")))
    await replica.tick(30)
    assert (replica.weight, replica.state) == (0, "rolled_back")


async def test_settings_that_an_attempt_is_not_bound_to_change_under_way(replica: Replica) -> None:
    await to_25(replica)
    replica.reload(config("GET /a: {rollout: careful}", PLAN + ", first: [ada]"))
    assert (replica.weight, replica.of().attempt) == (25, 1)
    assert replica.told.positions[-1].endpoints[0].first == ["ada"]


async def test_a_clock_that_is_set_moves_nothing(replica: Replica, clock: Clock) -> None:
    await to_25(replica)
    before = replica.of()
    for ahead in (-3600.0, 7200.0):
        clock.ahead += ahead
        replica.trials()
        await replica.tick()
        assert (replica.weight, replica.of().stepped) == (25, before.stepped)


async def test_a_clock_that_was_set_back_before_the_start_moves_nothing(
    make_replica: MakeReplica, clock: Clock
) -> None:
    one = await make_replica()
    await to_25(one)
    await one.close()
    clock.ahead -= 3600
    await _expire(one.url)
    again = await make_replica()
    again.trials()
    await again.tick()
    assert again.weight == 25
    assert again.told.positions[0].generation > one.told.positions[-1].generation
    for _ in range(20):
        again.trials()
        await again.tick()
    assert again.weight == 100


async def test_a_database_that_was_lost_is_filled_again(replica: Replica) -> None:
    from proxy.store import rollouts, schema

    await to_25(replica)
    async with rollouts.opened(replica.url) as engine, engine.begin() as connection:
        await connection.execute(schema.rollouts.delete())
    await replica.tick(2)
    assert replica.weight == 25
    assert (await replica.stored()).position.weight == 2500


async def test_a_write_waits_for_its_phase(make_replica: MakeReplica) -> None:
    text = config(
        "GET /a: {rollout: careful}\n  POST /b: {rollout: careful}",
        more="phases: {reads: {methods: [GET]}, writes: {methods: [POST], after: reads}}",
    )
    one = await make_replica(text)
    for _ in range(120):
        if one.of().state == "done":
            break
        one.trials()
        await one.tick()
        assert one.of("POST /b").state == "waiting"
        assert one.of().state == "done" or "GET /a" in one.of("POST /b").reason
    await one.tick()
    assert one.of("POST /b").state != "waiting"


async def test_nothing_is_asked_of_the_database_where_there_is_no_rollout(
    make_replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await make_replica(config("GET /a: {weight: 30}"), away=True)
    await one.tick(3)
    assert not one.rollouts.figures().problem
    assert not one.told.positions


async def _expire(url: str) -> None:
    from proxy.store import rollouts
    from proxy.store.schema import rollout_lease

    async with rollouts.opened(url) as engine, engine.begin() as connection:
        await connection.execute(rollout_lease.update().values(expires_at=0.0))
    await asyncio.sleep(0)
