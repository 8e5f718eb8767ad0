from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from async_api.deadline import Deadline


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    runner: Callable[[Awaitable[None]], None] = request.param
    return runner


def test_what_does_not_come_in_time_is_given_up(run: Callable[[Awaitable[None]], None]) -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with Deadline(0.001):
                await asyncio.Event().wait()
        await asyncio.sleep(0)  # the cancellation is used up

    run(scenario())


def test_a_reply_that_came_while_the_loop_was_busy_counts(run: Callable[[Awaitable[None]], None]) -> None:
    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert process.stdin
        assert process.stdout
        async with Deadline(0.05):
            process.stdin.write(b"reply")
            await process.stdin.drain()
            time.sleep(0.2)  # noqa: ASYNC251 the loop is busy with something else
            assert await process.stdout.read(100) == b"reply"
        process.stdin.close()
        await process.wait()

    run(scenario())


def test_a_cancellation_from_outside_stays_one(run: Callable[[Awaitable[None]], None]) -> None:
    async def wait() -> None:
        async with Deadline(60):
            await asyncio.Event().wait()

    async def scenario() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario())


def test_errors_pass_through(run: Callable[[Awaitable[None]], None]) -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError):
            async with Deadline(60):
                raise ValueError

    run(scenario())
