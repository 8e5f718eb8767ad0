from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.compare import writer as module
from proxy.compare.aggregate import Aggregate, Batch
from proxy.compare.judging import Finding
from proxy.compare.process import redaction_key
from proxy.compare.writer import AggregateWriter
from proxy.core.comparison.comparisons import Sample, Scope, Shown, Side, Tally
from proxy.core.comparison.noise import Observed
from proxy.core.privacy.erasure import NameMatcher
from proxy.store import comparisons

SCOPE = Scope("GET /a", "1", "2", "r")
SIDE = Side(200, {}, None, False, 0, 0.0)


def found(aggregate: Aggregate, number: int) -> None:
    aggregate.learn(SCOPE, None)
    for _ in range(number):
        aggregate.add(Finding(SCOPE, [], Observed(frozenset()), 200, (), {}, 0.001, 0.001))


async def stored(url: str) -> Tally | None:
    async with comparisons.opened(url) as engine, engine.connect() as connection:
        return await comparisons.tally(connection, SCOPE.id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def test_what_is_gathered_is_written_also_at_the_end(tmp_path: Path) -> None:
    async def run() -> Tally | None:
        url, aggregate = f"sqlite:///{tmp_path}/state.db", Aggregate(lambda: 1e12)
        writer = AggregateWriter(url, aggregate, lambda: 3600.0)
        task = asyncio.create_task(writer.run())
        await until(lambda: (tmp_path / "state.comparisons.db").exists())
        found(aggregate, 3)
        writer.stop()
        await task
        return await stored(url)

    tally = asyncio.run(run())
    assert tally is not None
    assert tally.n == 3


def test_what_can_not_be_written_is_kept_and_written_once_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    folder = tmp_path / "state"
    folder.write_text("a file in the place of the folder")

    async def run() -> tuple[Tally | None, Tally | None]:
        url, aggregate = f"sqlite:///{folder}/state.db", Aggregate(lambda: 1e12)
        writer = AggregateWriter(url, aggregate, lambda: 3600.0)
        found(aggregate, 3)
        task = asyncio.create_task(writer.run())
        await until(lambda: writer.failing)
        nothing = await writer.lookup(SCOPE)
        folder.unlink()
        await until(lambda: not writer.failing)
        found(aggregate, 2)
        writer.stop()
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
        url, aggregate = f"sqlite:///{tmp_path}/state.db", Aggregate(lambda: 1e12)
        writer = AggregateWriter(url, aggregate, lambda: 3600.0)
        found(aggregate, 1)
        bad = Sample("id", SCOPE, 1.0, "GET", "/a", (), SIDE, SIDE, ())
        aggregate.keep(bad)
        aggregate.keep(bad)  # the same id twice
        task = asyncio.create_task(writer.run())
        await until(lambda: "is lost" in caplog.text)
        found(aggregate, 2)
        writer.stop()
        await task
        return await stored(url)

    tally = asyncio.run(run())
    assert tally is not None
    assert tally.n == 2


def sample(number: int, target: str, at: float) -> Sample:
    shown = (Shown("x", "value", "1", "2"),)
    return Sample(f"s{number}", SCOPE, at, "GET", target, (), SIDE, SIDE, shown)


@pytest.mark.parametrize("late", [0.0, 30.0])
def test_what_is_forgotten_does_not_come_into_the_store_any_more(tmp_path: Path, late: float) -> None:
    """Neither what is gathered nor what a comparison that is under way comes to."""
    matcher, now = NameMatcher("ada"), time.time()

    async def run() -> tuple[int, int, list[str]]:
        url, aggregate = f"sqlite:///{tmp_path}/state.db", Aggregate(time.time)
        aggregate.learn(SCOPE, None)
        writer = AggregateWriter(url, aggregate, lambda: 3600.0)
        aggregate.keep(sample(1, "/a/ada", now))
        aggregate.keep(sample(2, "/a/bob", now))
        writer._pending = Batch([], [], [sample(3, "/a/ada", now), sample(4, "/a/eve", now)])
        dropped = await writer.forget(matcher)
        aggregate.keep(sample(5, "/a/ada", now + late))
        aggregate.keep(sample(6, "/a/ada", now + module.UNDER_WAY + 60))
        writer.stop()
        await writer._open_and_write()
        async with comparisons.opened(url) as engine, engine.connect() as connection:
            found = await comparisons.samples(connection, SCOPE.id)
        return dropped, len(writer._forgotten), [each.id for each in found]

    dropped, remembered, kept = asyncio.run(run())
    assert (dropped, remembered) == (2, 1)
    assert sorted(kept) == ["s2", "s4", "s6"]


def test_forgetting_waits_until_what_is_being_written_is_in_the_store(tmp_path: Path) -> None:
    async def run() -> list[str]:
        writer = AggregateWriter(f"sqlite:///{tmp_path}/state.db", Aggregate(time.time), lambda: 3600.0)
        order: list[str] = []
        async with writer._writing:
            task = asyncio.create_task(writer.forget(NameMatcher("ada")))
            task.add_done_callback(lambda _: order.append("forgotten"))
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("written")
        await task
        await asyncio.sleep(0)
        return order

    assert asyncio.run(run()) == ["written", "forgotten"]
