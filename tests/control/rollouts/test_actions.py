"""What people do to rollouts, in whichever process they ask."""

from __future__ import annotations

import httpx2
import pytest
from starlette.applications import Starlette

from proxy.control.admin.rollouts import RolloutsHandler
from proxy.control.errors import Refusal
from proxy.control.state import State
from proxy.core.traffic.authors import Author
from tests.control.rollouts.conftest import MakeReplica
from tests.control.rollouts.replica import PLAN, Replica, config, on_async
from tests.control.rollouts.test_runner import to_25

pytestmark = pytest.mark.anyio

ADA = Author("ada")


async def act(replica: Replica, action: str, endpoint: str = "GET /a", reason: str = "") -> list[str]:
    return await replica.rollouts.actions.perform(action, endpoint, ADA, reason)  # type: ignore[arg-type]


async def test_a_paused_rollout_stays_until_it_is_resumed(replica: Replica) -> None:
    await to_25(replica)
    assert await act(replica, "pause", reason="lunch") == ["GET /a"]
    for _ in range(30):
        replica.trials()
        await replica.tick()
    assert (replica.weight, replica.state) == (25, "paused")
    assert "lunch" in replica.of().reason
    await act(replica, "resume")
    replica.trials()
    await replica.tick(2)
    assert replica.weight == 100
    (told,) = [each for each in await replica.audited() if each.action == "rollout paused"]
    assert (told.author, told.details["why"]) == ("ada", "pause")


async def test_a_paused_rollout_comes_back_all_the_same(replica: Replica) -> None:
    await to_25(replica)
    await act(replica, "pause")
    replica.trials(fails=on_async)
    await replica.tick()
    assert (replica.weight, replica.state) == (0, "rolled_back")


async def test_a_step_that_needs_a_person_waits_for_one(make_replica: MakeReplica) -> None:
    replica = await make_replica(config("GET /a: {rollout: careful}", PLAN + ", approve: [100]"))
    await to_25(replica)
    for _ in range(30):
        replica.trials()
        await replica.tick()
    assert (replica.weight, replica.state) == (25, "approval")
    await act(replica, "approve")
    replica.trials()
    await replica.tick(2)
    assert replica.weight == 100


async def test_abort_comes_back_at_once_and_retry_begins_from_the_first_step(replica: Replica) -> None:
    await to_25(replica)
    await act(replica, "abort", reason="it smells")
    assert (replica.weight, replica.on_workers["GET /a"], replica.state) == (0, 0, "rolled_back")
    with pytest.raises(Refusal) as refusal:
        await act(replica, "abort")
    assert refusal.value.status == 409
    await act(replica, "retry")
    assert (replica.weight, replica.of().attempt) == (0, 2)
    await to_25(replica)


async def test_abort_works_without_the_database(replica: Replica) -> None:
    await to_25(replica)
    replica.database.away = True
    await act(replica, "abort")
    assert (replica.weight, replica.on_workers["GET /a"]) == (0, 0)
    with pytest.raises(Refusal) as refusal:
        await act(replica, "retry")
    assert refusal.value.status == 503
    replica.database.away = False
    await replica.tick(2)
    assert (await replica.stored()).position.state == "rolled_back"
    assert replica.weight == 0


async def test_who_does_not_lead_may_act_too_and_the_leader_follows(make_replica: MakeReplica) -> None:
    one, other = await make_replica(name="one"), await make_replica(name="other")
    await to_25(one)
    await other.rollouts.runner.tick()
    await act(other, "abort")
    assert (other.weight, one.weight) == (0, 25)
    one.trials()
    await one.tick()
    assert (one.weight, one.state) == (0, "rolled_back")


async def test_endpoints_of_one_group_and_plan_go_together(make_replica: MakeReplica) -> None:
    text = config("GET /a: {rollout: careful, group: x}\n  GET /b: {rollout: careful, group: x}")
    replica = await make_replica(text)
    await replica.tick()
    assert await act(replica, "pause", "GET /b") == ["GET /b", "GET /a"]
    assert {replica.of(name).state for name in ("GET /a", "GET /b")} == {"paused"}


async def test_a_freeze_holds_all_and_lets_them_come_back(replica: Replica) -> None:
    await to_25(replica)
    frozen = await replica.rollouts.actions.freeze(True, ADA, "holidays")
    assert (frozen.reason, frozen.author) == ("holidays", "ada")
    for _ in range(30):
        replica.trials()
        await replica.tick()
    assert (replica.weight, replica.state) == (25, "holding")
    assert "holidays" in replica.of().reason
    with pytest.raises(Refusal):
        await replica.rollouts.actions.freeze(True, ADA, "again")
    replica.trials(fails=on_async)
    await replica.tick()
    assert replica.weight == 0
    await replica.rollouts.actions.freeze(False, ADA, "back")
    await replica.tick()
    assert not replica.rollouts.figures().freeze.frozen


@pytest.mark.parametrize(("endpoint", "status"), [("GET /a", 409), ("GET /none", 404), ("GET /weighed", 404)])
async def test_what_makes_no_sense_is_refused(make_replica: MakeReplica, endpoint: str, status: int) -> None:
    replica = await make_replica(config("GET /a: {rollout: careful}\n  GET /weighed: {weight: 5}"))
    with pytest.raises(Refusal) as refusal:
        await act(replica, "resume", endpoint)
    assert refusal.value.status == status


async def test_the_api_says_where_it_stands(replica: Replica) -> None:
    await to_25(replica)
    replica.trials()
    await replica.tick()
    state = type("_", (), {"rollouts": replica.rollouts})()
    app = Starlette(routes=RolloutsHandler(_as_state(state)).routes())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        answer = (await client.get("/api/v1/rollouts")).json()
        history = (await client.get("/api/v1/rollouts/history?endpoint=GET /a&limit=1")).json()
        unknown = await client.post("/api/v1/rollouts/explode", json={"endpoint": "GET /a"})
    (found,) = answer["rollouts"]
    assert (found["endpoint"], found["plan"], found["weight"], found["step"]) == ("GET /a", "careful", 25, 2)
    assert found["units"] == {
        "legacy": {"active": 3000, "failed": 0},
        "async": {"active": 1000, "failed": 0},
    }
    assert found["e_values"] == {"failing": 1.0, "refused": 1.0, "slower": None}
    assert found["next"]["weight"] == 100
    assert found["next"]["missing"]
    assert (answer["leads"], answer["problem"], answer["frozen"]) == (True, None, None)
    assert history["changes"][0]["weight"] == 25
    assert unknown.status_code == 404


def _as_state(stub: object) -> State:
    return stub  # type: ignore[return-value]
