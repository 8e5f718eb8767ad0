"""Compiles a new configuration into a snapshot without making the worker's clients wait.

Compiling thousands of endpoints takes most of a second. It is done in slices of a millisecond or two, and
after each slice the event loop handles what has arrived. A thread would not help: it would keep the
interpreter's lock from the loop for 5 ms each time the loop has something to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.config import compile_in_slices
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Apply


class Applying:
    """One configuration at a time; a newer one ends the work on the one before it.

    `apply` gets what was compiled, and returns what that replaces; what either raises is given to `refuse`.
    """

    def __init__(
        self,
        apply: Callable[[Apply, Snapshot], Snapshot | None],
        refuse: Callable[[Apply, Exception], None],
    ) -> None:
        self._apply = apply
        self._refuse = refuse
        self._newest: Apply | None = None  # until it is applied or refused
        self._task: asyncio.Task[None] | None = None

    def take(self, message: Apply) -> None:
        self._newest = message
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while (message := self._newest) is not None:
                try:
                    snapshot = await self._compiled(message)
                    if snapshot is not None:
                        await _release(self._apply(message, snapshot))
                except Exception as error:  # whatever it is, the worker goes on with what it has
                    if self._newest is message:
                        self._refuse(message, error)
                if self._newest is message:
                    self._newest = None
        finally:
            self._task = None

    async def _compiled(self, message: Apply) -> Snapshot | None:
        """None if a newer message came meanwhile."""
        for snapshot in compile_in_slices(message.config, message.hash):
            await asyncio.sleep(0)
            if self._newest is not message:
                break
            if snapshot is not None:
                return snapshot
        return None


async def _release(previous: Snapshot | None) -> None:
    """Its parts go one after the other: to free the memory of thousands of objects takes a while too.

    What requests under way still have goes with the last of them.
    """
    if previous is not None:
        parts: list[object] = [previous.endpoints, previous.table]
        del previous
        while parts:
            await asyncio.sleep(0)
            parts.pop()
