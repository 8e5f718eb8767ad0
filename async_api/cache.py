"""The cache in Redis. It saves work and is never needed: whatever goes wrong with it costs milliseconds.

Values carry their own end (PXAT), counted from before the database was asked, so that a value that reaches
Redis late does not live longer for it. Lifetimes vary by a tenth, downwards, so that what was filled
together does not run out together. A value that depends on rows which change names a tag: it is good while
the tag's generation, a random number in Redis, is the one that was read before the database was asked.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from async_api import metrics
from async_api.commands import Commands
from async_api.config import Settings

JITTER = 0.1
GENERATION_TTL = 86_400  # seconds; a generation that ran out is a new one
LOCK_TTL = 1_000  # milliseconds
POLL, POLLS = 0.01, 10  # seconds; how often the others look for what one of them fetches

Reply = list[bytes | None]


class Found(NamedTuple):
    """`keep`: seconds that the value is good for; 0 if it may not be kept."""

    value: bytes
    keep: float


Load = Callable[[], Awaitable[Found]]


class Cache:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._commands = Commands(settings)

    @property
    def resting(self) -> bool:
        """Whether Redis is left alone at the moment."""
        return self._commands.resting

    async def close(self) -> None:
        await self._commands.close()

    async def fetch(self, what: str, name: str, load: Load) -> bytes:
        """The value kept under `name`, else what `load` finds; for what is always kept.

        Of all processes that miss it at once one asks; the others wait for a moment. `what` is for the count.
        """
        reply = await self._get(what, [name])
        if reply is None:
            return (await load()).value
        if reply[0] is not None:
            return reply[0]
        lock = f"{name}:lock"
        locked, value = await self._lock(name, lock)
        try:
            if value is None and not locked:
                value = await self._wait(name, lock)
            return await self._load(name, load) if value is None else value
        finally:
            if locked:
                await self._commands.run(("DEL", lock))

    async def fetch_if_kept(self, what: str, name: str, load: Load) -> bytes:
        """As `fetch`, for what may turn out not to be kept: then nobody waits for anybody."""
        reply = await self._get(what, [name])
        if reply is not None and reply[0] is not None:
            return reply[0]
        return (await load()).value if reply is None else await self._load(name, load)

    async def fetch_tagged(self, what: str, name: str, tag: str, load: Load) -> bytes:
        """As `fetch_if_kept`, while the tag's generation lasts."""
        reply = await self._get(what, [name, tag], tagged=True)
        if reply is None:
            return (await load()).value
        value, generation = reply
        if generation is None:
            generation = await self._begin(tag)
            if generation is None:
                return (await load()).value
        elif value is not None and value.startswith(generation):
            return value[len(generation) :]
        return await self._load(name, load, generation)

    async def forget(self, tags: Sequence[str]) -> bool:
        """Ends the generations of these tags; False if Redis could not be told."""
        sets = [("SET", tag, _generation(), "EX", GENERATION_TTL) for tag in tags]
        return await self._commands.run(*sets) is not None

    async def _load(self, name: str, load: Load, generation: bytes = b"") -> bytes:
        began = self._clock()
        found = await load()
        if found.keep > 0:
            end = began + found.keep * random.uniform(1 - JITTER, 1)
            value = generation + found.value
            await self._commands.run(("SET", name, value, "PXAT", int(end * 1000)))
        return found.value

    async def _get(self, what: str, names: list[str], tagged: bool = False) -> Reply | None:
        reply = await self._mget(names)
        if reply is None:
            result = "skipped"
        elif reply[0] is None or (tagged and not (reply[1] and reply[0].startswith(reply[1]))):
            result = "miss"
        else:
            result = "hit"
        metrics.CACHE.labels(what, result).inc()
        return reply

    async def _mget(self, names: list[str]) -> Reply | None:
        replies = await self._commands.run(("MGET", *names))
        return None if replies is None else replies[0]

    async def _begin(self, tag: str) -> bytes | None:
        """A generation for a tag without one; of several that begin it at once, the first one's."""
        replies = await self._commands.run(
            ("SET", tag, _generation(), "NX", "EX", GENERATION_TTL), ("GET", tag)
        )
        return None if replies is None else replies[1]

    async def _lock(self, name: str, lock: str) -> tuple[bool, bytes | None]:
        """Whether the lock is ours now, and the value, which may have come since it was missed."""
        replies = await self._commands.run(("SET", lock, b"1", "NX", "PX", LOCK_TTL), ("GET", name))
        return (False, None) if replies is None else (bool(replies[0]), replies[1])

    async def _wait(self, name: str, lock: str) -> bytes | None:
        """What the holder of the lock comes back with, if it does soon."""
        for _ in range(POLLS):
            await asyncio.sleep(POLL)
            reply = await self._mget([name, lock])
            if reply is None or reply[0] is not None or reply[1] is None:
                return None if reply is None else reply[0]
        return None


def _generation() -> bytes:
    return secrets.token_bytes(8)
