from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from proxy.control.recorder import WAITING, Recorder, started
from proxy.control.reload import Change


def change(number: int, hash: str | None = "h") -> Change:
    return Change(float(number), "test", "ada", hash, (f"line {number}",), "text")


async def written(made: Recorder, count: int) -> None:
    async with asyncio.timeout(10):
        while len(made.recent) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_what_happened_is_written_newest_first(tmp_path: Path) -> None:
    made = Recorder(f"sqlite:///{tmp_path}/state.db")

    async def run() -> None:
        task = asyncio.create_task(made.run())
        made.record(change(1))
        made.record(change(2, None))
        await written(made, 2)
        task.cancel()

    asyncio.run(run())
    assert [(entry.action, entry.author) for entry in made.recent] == [
        ("config refused", "ada"),
        ("config accepted", "ada"),
    ]
    assert made.recent[0].details == {"trigger": "test", "hash": None, "lines": ["line 2"]}


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    made = Recorder(f"sqlite:///{tmp_path}/state.db")

    async def run() -> None:
        task = asyncio.create_task(made.run())
        made.record(change(1))
        await written(made, 1)
        made.record(change(2))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert len(made.recent) == 2


def test_a_restart_with_the_same_configuration_is_no_change(tmp_path: Path) -> None:
    made = Recorder(f"sqlite:///{tmp_path}/state.db")

    async def run() -> None:
        for _ in range(2):
            made.record(started("h", "text"))
            assert await made._flush()

    asyncio.run(run())
    assert len(made.recent) == 1


def test_a_store_that_fails_is_loud_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("not a directory")
    made = Recorder(f"sqlite:///{tmp_path}/state/state.db")
    made.record(change(1))

    async def run() -> None:
        assert not await made._flush()
        assert not await made._flush()
        (tmp_path / "state").unlink()
        assert await made._flush()

    with caplog.at_level(logging.INFO, "strangler"):
        asyncio.run(run())
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert len(made.recent) == 1


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    made = Recorder(f"sqlite:///{tmp_path}/state.db")
    for number in range(WAITING + 5):
        made.record(change(number))
    assert len(made._waiting) == WAITING


def test_whatever_a_driver_raises_the_recorder_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    made = Recorder("postgresql://u@127.0.0.1:1/none?nonsense=1")
    made.record(change(1))
    assert not asyncio.run(made._flush())
    assert "nonsense" in caplog.text
