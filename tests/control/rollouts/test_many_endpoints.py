"""What runs every second for each endpoint does not go through all endpoints each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.control.rollouts.board import Board
from proxy.control.rollouts.deciding import Decider
from proxy.control.rollouts.gathering import Gatherer
from proxy.core.traffic.totals import Figures
from proxy.core.wire.messages import EndpointPosition
from proxy.store.rollouts import Freeze
from tests.control.rollouts.conftest import MakeReplica
from tests.control.rollouts.replica import config

ROUNDS = 20  # of all endpoints in one look; what is quadratic makes one for each endpoint


class Counted(tuple[Any, ...]):
    """How often somebody began to go through it."""

    begun = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        return super().__iter__()


class CountedFigures(dict[Any, Figures]):
    begun = 0

    def items(self) -> Any:
        self.begun += 1
        return super().items()


def many(count: int) -> str:
    return config("\n  ".join(f"GET /a{number}: {{rollout: careful}}" for number in range(count)))


@pytest.mark.anyio
async def test_a_look_at_100_endpoints_goes_through_them_a_few_times(make_replica: MakeReplica) -> None:
    replica = await make_replica(many(100))
    endpoints = Counted(replica.in_force.loaded.snapshot.endpoints)
    snapshot = replace(replica.in_force.loaded.snapshot, endpoints=endpoints)
    busy = CountedFigures({(each.name, "legacy"): Figures(10.0) for each in endpoints})
    replica.collector.figures = lambda: busy  # type: ignore[method-assign]
    board = replica.rollouts.runner._board
    gatherer = Gatherer(replica.collector, replica.verdicts)
    endpoints.begun = 0
    look = gatherer.look(replica.clock.wall(), snapshot, board.standing(), Freeze(), "", {}, {})
    decided = Decider(board, gatherer).decide(look)
    assert len(decided) == 100
    assert look.planned == {"careful": 100}
    assert endpoints.begun <= ROUNDS
    assert busy.begun <= ROUNDS


@pytest.mark.anyio
async def test_a_board_that_lost_all_rows_goes_through_the_endpoints_a_few_times(
    make_replica: MakeReplica,
) -> None:
    replica = await make_replica(many(100))
    board: Board = replica.rollouts.runner._board
    snapshot = replica.in_force.loaded.snapshot
    board.rows = {each.name: board.drafts[each.name].row for each in snapshot.endpoints}
    lost = dict(board.rows)
    board.drafts.clear()
    endpoints = Counted(snapshot.endpoints)
    board.take_rows({}, replace(snapshot, endpoints=endpoints))
    assert set(board.drafts) == set(lost)
    assert endpoints.begun <= ROUNDS
    told: list[EndpointPosition] = board.adopt(replace(snapshot, endpoints=endpoints))
    assert len(told) == 100
    assert endpoints.begun <= ROUNDS
