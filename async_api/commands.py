"""Commands to Redis: those that come at the same time travel together, on one connection.

A command by itself costs a trip, and most of the time that the client spends on it; a hundred in one trip
cost little more. When Redis fails or is too slow a few times in a row it is left alone, and a task of its own
tries it again: no request pays for finding out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from async_api import metrics
from async_api.config import Settings
from async_api.deadline import Deadline

FAILURES = 3  # in a row, then Redis is left alone
REST = 2.0  # seconds between two attempts to reach it again
CONNECT = 1.0  # seconds that such an attempt may take
BATCH = 200  # callers in one trip

Command = Sequence[str | bytes | int]
Waiting = tuple[Sequence[Command], "asyncio.Future[list[Any] | None]"]

FAULTS = (RedisError, OSError, TimeoutError)


class Commands:
    def __init__(self, settings: Settings) -> None:
        self._timeout = settings.cache_timeout
        self._redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=None,  # one limit for the whole trip instead
            socket_connect_timeout=CONNECT,
            retry=Retry(NoBackoff(), 0),
        )
        self._waiting: list[Waiting] = []
        self._sender: asyncio.Task[None] | None = None
        self._reviver: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def resting(self) -> bool:
        """Whether Redis is left alone at the moment."""
        return self._failures >= FAILURES

    async def run(self, *commands: Command) -> list[Any] | None:
        """A reply for each; None if Redis refused one, did not answer in time, or is left alone."""
        if self.resting:
            return None
        answer: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await answer

    async def close(self) -> None:
        for task in (self._sender, self._reviver):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._redis.aclose()

    async def _send(self) -> None:
        batch: list[Waiting] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                _hand_out(batch, await self._trip([command for commands, _ in batch for command in commands]))
        finally:
            self._sender = None
            _hand_out([*batch, *self._waiting], None)
            self._waiting = []

    async def _trip(self, commands: list[Command]) -> list[Any] | None:
        if self.resting:
            return None
        try:
            async with Deadline(self._timeout), self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except FAULTS:
            metrics.CACHE_FAILURES.inc()
            self._failures += 1
            if self.resting and self._reviver is None:
                metrics.CACHE_OPEN.set(1)
                self._reviver = asyncio.create_task(self._revive())
            return None
        self._failures = 0
        return replies

    async def _revive(self) -> None:
        """Until Redis answers in good time over a connection that stands."""
        while True:
            await asyncio.sleep(REST)
            try:
                async with asyncio.timeout(CONNECT):
                    await self._redis.ping()
                async with Deadline(self._timeout):
                    await self._redis.ping()
            except FAULTS:
                continue
            self._reviver = None
            self._failures = 0
            metrics.CACHE_OPEN.set(0)
            return


def _hand_out(batch: Sequence[Waiting], replies: list[Any] | None) -> None:
    start = 0
    for commands, answer in batch:
        mine = None if replies is None else replies[start : start + len(commands)]
        start += len(commands)
        if mine is not None and any(isinstance(reply, RedisError) for reply in mine):
            metrics.CACHE_FAILURES.inc()
            mine = None
        if not answer.done():
            answer.set_result(mine)
