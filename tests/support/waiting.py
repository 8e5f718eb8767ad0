"""Waiting, within a bound, for what another process, thread or connection does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import httpx2

DEADLINE: Final = 60.0  # seconds after which waiting fails
LOOK: Final = 0.01  # seconds between the first two looks
SLOWER: Final = 1.2  # each of the next comes so much later,
SLOWEST: Final = 0.05  # up to this: what takes long is not asked for all the time, which would delay it

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str = "the condition", within: float = DEADLINE) -> T:
    """The first true answer of `condition`; an error of a server that is not there yet counts as no."""
    deadline = time.monotonic() + within
    pause = LOOK
    while True:
        error: Exception | None = None
        try:
            if answer := condition():
                return answer
        except (httpx2.HTTPError, OSError) as raised:
            error = raised
        if time.monotonic() > deadline:
            raise AssertionError(f"still not, after {within:g} s: {what}") from error
        time.sleep(pause)
        pause = min(pause * SLOWER, SLOWEST)


async def eventually_async(condition: Callable[[], Awaitable[T]], within: float = DEADLINE) -> T:
    """The first true answer of `condition`, while the event loop goes on."""
    async with asyncio.timeout(within):
        while not (answer := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)
        return answer
