"""Collapses identical concurrent reads: those that ask for the same share one query.

A read must show every write that was answered before it was asked for. So nobody joins a query that has
begun: while one is in the air, the next ones board a second, which departs when the first has landed. Any
number of readers at the same time then costs two queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """`patience`: seconds that a flight waits for the one ahead. `shared` is called for each that joined."""

    def __init__(self, patience: float, shared: Callable[[], None]) -> None:
        self._patience = patience
        self._shared = shared
        self._in_air: dict[Hashable, asyncio.Task[T]] = {}
        self._boarding: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, load: Callable[[], Awaitable[T]], *, late: bool = False) -> T:
        """What `load` returns or raises, of a call that begins after this one; `late`: or that is under way.

        A cancelled caller leaves the flight to the others. Nothing is kept of a flight that has landed.
        """
        flight = self._boarding.get(key)
        ahead = self._in_air.get(key)
        if flight is None and late:
            flight = ahead
        if flight is not None:
            self._shared()
        elif ahead is None:
            flight = self._in_air[key] = asyncio.create_task(self._fly(key, load))
        else:
            flight = self._boarding[key] = asyncio.create_task(self._fly(key, load, ahead))
        flight.add_done_callback(_look)
        return await asyncio.shield(flight)

    async def _fly(
        self, key: Hashable, load: Callable[[], Awaitable[T]], ahead: asyncio.Task[T] | None = None
    ) -> T:
        if ahead is not None:
            await asyncio.wait([ahead], timeout=self._patience)
            self._in_air[key] = self._boarding.pop(key)
        try:
            return await load()
        finally:
            if self._in_air.get(key) is asyncio.current_task():
                del self._in_air[key]


def _look(flight: asyncio.Task[object]) -> None:
    """At the error of a flight whose passengers have all left; asyncio logs those that nobody looked at."""
    if not flight.cancelled():
        flight.exception()
