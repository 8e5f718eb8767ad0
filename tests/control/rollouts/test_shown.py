"""What the page, the API of endpoints and the metrics say of a rollout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.control import metrics
from proxy.control.admin.json.endpoints import endpoints_json
from proxy.control.admin.view import phases
from proxy.control.reload import Reloader
from proxy.control.state import State
from tests.control.conftest import MakeState, make_state
from tests.control.rollouts.replica import Replica, on_async
from tests.control.rollouts.test_runner import to_25

__all__ = ["make_state"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(make_state: MakeState, replica: Replica) -> State:
    """Of the replica, as the admin port has it."""
    made = make_state()

    async def publish(*given: object) -> None:
        """There are no workers."""

    reloader = Reloader(made.reloader.path, b"", replica.in_force, publish)
    return replace(made, reloader=reloader, rollouts=replica.rollouts, collector=replica.collector)


async def test_all_show_the_weight_in_force_and_the_state_in_words(state: State, replica: Replica) -> None:
    await to_25(replica)
    found = state.overview()
    (endpoint,) = endpoints_json(found, ())["endpoints"]
    assert (endpoint["weight"], endpoint["rollout"]["state"]) == (25, "running")
    (row,) = phases(state, found, {})[0].rows
    assert (row.weight, row.rolled_back) == ("25", False)
    assert row.rollout.startswith("Rollout careful: running; from 1 to 25 %")
    text = metrics.render(state, "")[0].decode()
    assert 'strangler_endpoint_weight{endpoint="GET /a"} 25.0' in text
    assert 'strangler_rollout_state{endpoint="GET /a",state="running"} 1.0' in text
    assert 'strangler_rollout_state{endpoint="GET /a",state="rolled_back"} 0.0' in text
    assert 'strangler_rollout_e_value{endpoint="GET /a",kind="failing"} 1.0' in text
    assert 'strangler_rollout_changes_total{endpoint="GET /a",to="running",why="evidence"} 2.0' in text


async def test_what_was_rolled_back_is_an_alarm(state: State, replica: Replica) -> None:
    assert not state.alarmed()
    await to_25(replica)
    replica.trials(fails=on_async)
    await replica.tick()
    (alarm,) = endpoints_json(state.overview(), state.alarmed())["alarms"]
    assert (alarm["kind"], alarm["subject"], alarm["serious"]) == ("rollout", "GET /a", True)
    (row,) = phases(state, state.overview(), {})[0].rows
    assert (row.weight, row.rolled_back) == ("0", True)
