from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from proxy.control.admin.app import build
from proxy.control.state import State
from proxy.control.storage import Storage, disk_of, readable, told
from tests.control.test_metrics import samples
from tests.store.test_claims import opened
from tests.store.test_stored import SIZE, written

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}/state.db"
        self.limit = 0
        self.now = 1000.0
        self.storage = Storage(self.url, lambda: self.limit, lambda: self.now)


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO)
    return World(tmp_path)


async def test_nothing_is_known_before_the_first_look_and_nothing_is_stored_at_first(world: World) -> None:
    world.limit = 10
    assert world.storage.alarms() == []
    assert world.storage.figures().size is None
    assert "Stored" not in told(world.storage.figures())
    await world.storage.look()
    assert world.storage.figures().size == 0
    assert world.storage.alarms() == []


async def test_the_alarm_comes_before_the_limit_and_is_serious_at_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(world.url) as claims:
        await written(claims, "k")
    await world.storage.look()
    assert world.storage.alarms() == []  # there is no limit
    for limit, serious in ((2 * SIZE, None), (SIZE + 1, False), (SIZE, True), (2 * SIZE, None)):
        world.limit = limit
        for _ in range(2):
            await world.storage.look()
        assert [alarm.serious for alarm in world.storage.alarms()] == ([] if serious is None else [serious])
        world.now += 1.0
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == ["ERROR", "INFO"]
    assert "idempotency.max_store; beyond the limit, answers are not stored" in lines[0][1]


async def test_a_raised_limit_ends_the_alarm_at_once(world: World) -> None:
    async with opened(world.url) as claims:
        await written(claims, "k")
    world.limit = SIZE
    await world.storage.look()
    [alarm] = world.storage.alarms()
    assert (alarm.kind, alarm.since) == ("store", 1000.0)
    assert "a retry does not get them" in alarm.text
    world.limit = 10 * SIZE
    assert world.storage.alarms() == []


async def test_a_store_that_does_not_answer_leaves_what_was_known(world: World, tmp_path: Path) -> None:
    async with opened(world.url) as claims:
        await written(claims, "k")
    await world.storage.look()
    (tmp_path / "state.claims.db").write_bytes(b"not a database" * 100)
    await world.storage.look()
    assert world.storage.stored == SIZE


def test_the_disk_is_that_of_the_folder_that_will_be_made(tmp_path: Path) -> None:
    here = disk_of(f"sqlite:///{tmp_path}/a/b/state.db")
    assert here is not None
    assert 0 < here.free <= here.total
    assert disk_of("postgresql://nobody@nowhere/state") is None


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5 GiB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert readable(size) == text


async def test_page_api_and_metrics_show_it(state: State, world: World) -> None:
    async with opened(world.url) as claims:
        await written(claims, "k")
    world.limit = SIZE
    await world.storage.look()
    client = TestClient(build(replace(state, storage=world.storage)), base_url="http://127.0.0.1:9000")
    page = client.get("/").text
    assert "Disk of the state: " in page
    assert 'data-alarm="store"' in page
    answer = client.get("/api/v1/endpoints").json()
    assert answer["storage"]["stored_bytes"] == answer["storage"]["limit_bytes"] == SIZE
    assert 0 < answer["storage"]["disk_free_bytes"] <= answer["storage"]["disk_bytes"]
    assert ("store", True) in [(alarm["kind"], alarm["serious"]) for alarm in answer["alarms"]]
    found = samples(client)
    assert found["strangler_stored_answers_bytes"] == [({}, float(SIZE))]
    assert found["strangler_stored_answers_limit_bytes"] == [({}, float(SIZE))]
    assert found["strangler_state_disk_free_bytes"][0][1] > 0
    assert found["strangler_state_disk_bytes"][0][1] > 0
