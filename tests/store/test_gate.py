from __future__ import annotations

import asyncio

import pytest

from proxy.store import gate as module
from proxy.store.gate import Gate, Kind, Overloaded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def waits(gate: Gate, kind: Kind) -> asyncio.Task[None]:
    return asyncio.create_task(gate.enter(kind))


async def full(kind: Kind = Kind.HOUSE) -> Gate:
    gate = Gate(8, 100)
    for _ in range(gate._places[kind]):
        await gate.enter(kind)
    return gate


async def test_what_was_begun_is_finished_before_anything_new_is_begun() -> None:
    gate = await full()
    claim, outcome, house = (waits(gate, kind) for kind in (Kind.CLAIM, Kind.OUTCOME, Kind.HOUSE))
    await turn()
    done = []
    for _ in range(8):
        gate.leave(Kind.HOUSE, answered=True)
        await turn()
        done.append([task.done() for task in (house, outcome, claim)])
    assert done[0] == [True, False, False]
    assert [True, True, False] in done
    assert done[-1] == [True, True, True]


async def test_claims_leave_a_place_for_outcomes_and_outcomes_one_for_the_house() -> None:
    gate = await full(Kind.CLAIM)
    claim, outcome, second = waits(gate, Kind.CLAIM), waits(gate, Kind.OUTCOME), waits(gate, Kind.OUTCOME)
    house = waits(gate, Kind.HOUSE)
    await turn()
    assert [task.done() for task in (claim, outcome, second, house)] == [False, True, False, True]
    for task in (claim, second):
        task.cancel()


async def test_a_claim_waits_for_its_turn_for_so_long_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST", 0.02)
    gate = await full(Kind.CLAIM)
    async with asyncio.timeout(5):
        for _ in range(2):  # nothing becomes free meanwhile
            with pytest.raises(Overloaded, match=r"no turn within 0\.02 s"):
                await gate.enter(Kind.CLAIM)
    gate.leave(Kind.CLAIM, answered=True)
    await gate.enter(Kind.CLAIM)


async def test_a_store_that_answers_nothing_gets_a_few_claims_only_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALL", 0.0)
    gate = Gate(1000, 1000)
    for _ in range(module.PROBES):
        await gate.enter(Kind.CLAIM)
    gate._answered -= 1.0
    with pytest.raises(Overloaded, match="answered nothing"):
        await gate.enter(Kind.CLAIM)
    await gate.enter(Kind.OUTCOME)
    gate.leave(Kind.CLAIM, answered=False)
    await gate.enter(Kind.CLAIM)
    monkeypatch.setattr(module, "STALL", 10.0)
    gate.leave(Kind.OUTCOME, answered=True)
    await gate.enter(Kind.CLAIM)


async def test_a_store_in_which_all_has_failed_is_still_stalled() -> None:
    gate = Gate(1000, 1000)
    await gate.enter(Kind.CLAIM)
    gate._answered -= module.STALL + 1
    gate.leave(Kind.CLAIM, answered=False)
    for _ in range(module.PROBES):
        await gate.enter(Kind.CLAIM)
    with pytest.raises(Overloaded, match="answered nothing"):
        await gate.enter(Kind.CLAIM)
    gate.leave(Kind.CLAIM, answered=True)
    for _ in range(50):
        await gate.enter(Kind.CLAIM)


async def test_after_a_rest_a_store_is_not_taken_for_stalled() -> None:
    gate = Gate(1000, 1000)
    gate._answered = -1e6
    for _ in range(50):
        await gate.enter(Kind.CLAIM)


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_place_that_was_given_to_one_who_gives_up_is_free_again(kind: Kind) -> None:
    gate = await full(kind)
    waiting = waits(gate, kind)
    await turn()
    gate.leave(kind, answered=True)  # its turn, in the moment in which it gives up
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    async with asyncio.timeout(1):
        await gate.enter(kind)
    gone = waits(gate, kind)
    await turn()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.leave(kind, answered=True)
    async with asyncio.timeout(1):
        await gate.enter(kind)


async def test_what_waits_is_bounded() -> None:
    gate = Gate(8, 2)
    for _ in range(8):
        await gate.enter(Kind.HOUSE)
    waiting = [waits(gate, Kind.OUTCOME) for _ in range(2)]
    await turn()
    with pytest.raises(Overloaded, match="too many"):
        await gate.enter(Kind.OUTCOME)
    for task in waiting:
        task.cancel()
