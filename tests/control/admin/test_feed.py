from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.testclient import TestClient

from proxy.control.admin import feed
from proxy.control.admin.app import build
from proxy.control.admin.feed import VIEWERS, Feed, event
from proxy.control.admin.pages import Pages
from proxy.control.state import State
from tests.control.conftest import LOCAL


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "INTERVAL", 0.01)


async def take(stream: AsyncIterator[str], count: int) -> list[str]:
    return [await anext(stream) for _ in range(count)]


def test_an_event_of_several_lines() -> None:
    assert event("figures", "a\nb") == "event: figures\ndata: a\ndata: b\n\n"


def test_only_changes_are_sent() -> None:
    texts = iter(["one", "one", "one", "two", *["three"] * 1000])

    async def run() -> list[str]:
        return await take(Feed(lambda: next(texts)).events(), 3)

    assert asyncio.run(run()) == [event("figures", text) for text in ("one", "two", "three")]


def test_viewers_share_what_is_rendered_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "INTERVAL", 60.0)
    rendered: list[int] = []
    made = Feed(lambda: f"{rendered.append(1)}")

    async def run() -> None:
        streams = [made.events() for _ in range(VIEWERS)]
        for stream in streams:
            await anext(stream)
        assert made.full()
        await streams[0].aclose()  # type: ignore[attr-defined]
        assert not made.full()

    asyncio.run(run())
    assert len(rendered) == 1


def test_silence_is_broken_so_that_a_dead_viewer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEEP_ALIVE", 0.02)

    async def run() -> list[str]:
        return await take(Feed(lambda: "same").events(), 2)

    assert asyncio.run(run())[1] == ": nothing new\n\n"


def test_closing_ends_every_stream() -> None:
    made = Feed(lambda: "x")

    async def run() -> list[str]:
        stream = made.events()
        first = await anext(stream)
        made.close()
        return [first, *[each async for each in stream]]

    assert asyncio.run(run()) == [event("figures", "x")]


def test_the_page_subscribes_to_its_own_fragment(state: State) -> None:
    pages = Pages(state)
    client = TestClient(build(state, pages), base_url=LOCAL)
    pages.feed.close()  # so that the answer ends
    answer = client.get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    pages.feed.viewers = VIEWERS
    assert client.get("/events").status_code == 503
