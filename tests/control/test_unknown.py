from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from proxy.control import unknown as module
from proxy.control.admin.app import build
from proxy.control.admin.pages import Pages
from proxy.control.state import State
from proxy.control.unknown import UnknownWrites
from proxy.core.resilience import idempotency as idem
from tests.store.test_claims import opened, proceed, wanted


async def lose(url: str) -> None:
    async with opened(url) as claims:
        await claims.change(idem.lose(await proceed(claims, wanted("lost-one")), time.time()))


def test_the_page_shows_writes_with_an_unknown_outcome(state: State, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    reloader = state.reloader
    reloader.started = replace(reloader.started, server=replace(reloader.started.server, state=url))
    pages = Pages(state)
    client = TestClient(build(state, pages), base_url="http://127.0.0.1:9000")
    assert "unknown outcome" not in client.get("/").text

    async def lose_and_look() -> None:
        await lose(url)
        await pages.unknown.look()

    asyncio.run(lose_and_look())
    page = client.get("/").text
    assert "Writes with an unknown outcome" in page
    assert "lost-one" in page


def test_the_page_says_how_many_there_are_beyond_those_that_it_shows(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    url = f"sqlite:///{tmp_path}/state.db"
    reloader = state.reloader
    reloader.started = replace(reloader.started, server=replace(reloader.started.server, state=url))
    pages = Pages(state)

    async def lose_three_and_look() -> None:
        async with opened(url) as claims:
            for each in range(3):
                record = await proceed(claims, wanted(f"k{each}", f"t{each}"))
                await claims.change(idem.lose(record, time.time()))
        await pages.unknown.look()

    asyncio.run(lose_three_and_look())
    pages.unknown._looked = time.monotonic()  # no look of the page's own, in a loop that ends with it
    client = TestClient(build(state, pages), base_url="http://127.0.0.1:9000")
    assert "2 of 3:" in client.get("/").text
    found = client.get("/api/v1/writes?state=unknown&limit=1").json()
    assert (len(found["writes"]), found["total"]) == (1, 3)


def test_the_api_names_them_as_what_needs_somebody(state: State, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    reloader = state.reloader
    reloader.started = replace(reloader.started, server=replace(reloader.started.server, state=url))
    asyncio.run(lose(url))
    client = TestClient(build(state), base_url="http://127.0.0.1:9000")
    [alarm] = client.get("/api/v1/endpoints").json()["alarms"]
    assert (alarm["kind"], alarm["serious"], alarm["seconds"]) == ("writes", True, None)
    assert alarm["text"] == "1 write has an unknown outcome: `strangler writes --unknown`"


def test_a_look_begins_only_when_the_last_one_is_old(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"

    async def refresh() -> list[int]:
        await lose(url)
        unknown = UnknownWrites(url)
        unknown.refresh()
        found = [len(unknown.writes)]
        async with asyncio.timeout(10):
            while not unknown.writes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        unknown.writes = []
        unknown.refresh()
        assert unknown._looking is None
        return [*found, len(unknown.writes)]

    assert asyncio.run(refresh()) == [0, 0]


def test_a_store_that_cannot_be_read_is_said_and_what_was_known_stays(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    unknown = UnknownWrites(url)

    async def lose_and_look() -> None:
        await lose(url)
        await unknown.look()

    asyncio.run(lose_and_look())
    for file in tmp_path.glob("state.claims.db*"):
        file.unlink()
    (tmp_path / "state.claims.db").write_text("this is no database, and long enough to be looked at" * 10)
    asyncio.run(unknown.look())
    assert unknown.error
    assert [write.key for write in unknown.writes] == ["lost-one"]
