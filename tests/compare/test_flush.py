from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.compare import flush
from proxy.compare.flush import Flusher
from proxy.compare.gather import Finding, Gathering
from proxy.compare.process import redaction_key
from proxy.core.comparisons import Sample, Scope, Side, Tally
from proxy.store import comparisons

SCOPE = Scope("GET /a", "1", "2", "r")
SIDE = Side(200, {}, None, False, 0, 0.0)


def found(gathering: Gathering, number: int) -> None:
    gathering.learn(SCOPE, None)
    for _ in range(number):
        gathering.add(Finding(SCOPE, [], None, (), 200, (), {}, 0.001, 0.001))


async def stored(url: str) -> Tally | None:
    async with comparisons.opened(url) as engine, engine.connect() as connection:
        return await comparisons.tally(connection, SCOPE.id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def test_what_is_gathered_is_written_also_at_the_end(tmp_path: Path) -> None:
    async def run() -> Tally | None:
        url, gathering = f"sqlite:///{tmp_path}/state.db", Gathering(lambda: 1e12)
        flusher = Flusher(url, gathering, lambda: 3600.0)
        task = asyncio.create_task(flusher.run())
        await until(lambda: (tmp_path / "state.comparisons.db").exists())
        found(gathering, 3)
        flusher.stop()
        await task
        return await stored(url)

    tally = asyncio.run(run())
    assert tally is not None
    assert tally.n == 3


def test_what_can_not_be_written_is_kept_and_written_once_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "RETRY", 0.01)
    monkeypatch.setattr(flush, "INTERVAL", 0.01)
    folder = tmp_path / "state"
    folder.write_text("a file in the place of the folder")

    async def run() -> tuple[Tally | None, Tally | None]:
        url, gathering = f"sqlite:///{folder}/state.db", Gathering(lambda: 1e12)
        flusher = Flusher(url, gathering, lambda: 3600.0)
        found(gathering, 3)
        task = asyncio.create_task(flusher.run())
        await until(lambda: flusher.failing)
        nothing = await flusher.lookup(SCOPE)
        folder.unlink()
        await until(lambda: not flusher.failing)
        found(gathering, 2)
        flusher.stop()
        await task
        return nothing, await stored(url)

    nothing, tally = asyncio.run(run())
    assert nothing is None
    assert tally is not None
    assert tally.n == 5


def test_the_key_of_hashes_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = redaction_key(tmp_path)
    (file,) = tmp_path.iterdir()
    assert len(key) == 32
    assert redaction_key(tmp_path) == key == file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"cut")
    assert redaction_key(tmp_path) != key


def test_what_the_store_refuses_does_not_stop_what_comes_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> Tally | None:
        url, gathering = f"sqlite:///{tmp_path}/state.db", Gathering(lambda: 1e12)
        flusher = Flusher(url, gathering, lambda: 3600.0)
        found(gathering, 1)
        bad = Sample("id", SCOPE, 1.0, "GET", "/a", (), SIDE, SIDE, ())
        gathering.keep(bad)
        gathering.keep(bad)  # the same id twice
        task = asyncio.create_task(flusher.run())
        await until(lambda: "is lost" in caplog.text)
        found(gathering, 2)
        flusher.stop()
        await task
        return await stored(url)

    tally = asyncio.run(run())
    assert tally is not None
    assert tally.n == 2
