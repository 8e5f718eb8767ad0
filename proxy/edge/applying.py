"""Compiles a new configuration into a snapshot, and puts rollouts where they stand; clients do not wait.

Compiling thousands of endpoints takes most of a second. It is done in slices of a millisecond or two, and
after each slice the event loop handles what has arrived. A thread would not help: it would keep the
interpreter's lock from the loop for 5 ms each time the loop has something to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from proxy.config import compile_in_slices, compile_values
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.messages import Apply, Positions

log = logging.getLogger("strangler.worker")


class Applying:
    """One configuration at a time; a newer one ends the work on the one before it. So do newer positions.

    `apply` gets what was compiled, with the newest positions; `place` gets what is in use already when only
    they have changed. Both return what that replaces. What `apply` or the compiler raises goes to `refuse`.
    """

    def __init__(
        self,
        apply: Callable[[Apply, Snapshot], Snapshot | None],
        place: Callable[[Snapshot], Snapshot | None],
        refuse: Callable[[Apply, Exception], None],
    ) -> None:
        self._apply = apply
        self._place = place
        self._refuse = refuse
        self._newest: Apply | None = None  # until it is applied or refused
        self._positions: Positions | None = None  # the newest
        self._placed: Positions | None = None  # those that are in force
        self._base: Snapshot | None = None  # in use, as the file has it
        self._task: asyncio.Task[None] | None = None

    def take(self, message: Apply) -> None:
        self._newest = message
        self._start()

    def take_positions(self, message: Positions) -> None:
        """Older ones than those known are left out: messages may cross those of another control process."""
        known = self._positions
        if known is not None and message.generation <= known.generation:
            return
        self._positions = message
        if known is not None and known is self._placed and known.endpoints == message.endpoints:
            self._placed = message  # told again
        elif self._base is not None:
            self._start()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._newest is not None or self._is_behind():
                message, positions = self._newest, self._positions
                try:
                    await self._step(message)
                except Exception as error:  # whatever it is, the worker goes on with what it has
                    if message is None:
                        log.error("worker: cannot put rollouts where they stand", exc_info=error)
                        self._placed = positions
                    elif self._newest is message:
                        self._refuse(message, error)
                if self._newest is message:
                    self._newest = None
        finally:
            self._task = None

    def _is_behind(self) -> bool:
        return self._base is not None and self._placed is not self._positions

    async def _step(self, message: Apply | None) -> None:
        """None: the configuration stays as it is."""
        base = self._base if message is None else await self._compiled(message)
        if base is not None:
            found = await self._positioned(message, base)
            if found is not None:
                effective, positions = found
                del found
                await _release(self._replaced(message, base, effective, positions))

    def _replaced(
        self, message: Apply | None, base: Snapshot, effective: Snapshot, positions: Positions | None
    ) -> list[Snapshot]:
        """Puts it in force; what is not needed any more."""
        previous = self._place(effective) if message is None else self._apply(message, effective)
        former, self._base, self._placed = self._base, base, positions
        return [each for each in (previous, former) if each is not None and each is not base]

    async def _compiled(self, message: Apply) -> Snapshot | None:
        """None if a newer message came meanwhile."""
        if message.values is None:
            slices = compile_in_slices(message.config, message.hash)
        else:
            slices = compile_values(message.values, message.hash)
        for snapshot in slices:
            await asyncio.sleep(0)
            if self._newest is not message:
                break
            if snapshot is not None:
                return snapshot
        return None

    async def _positioned(
        self, message: Apply | None, base: Snapshot
    ) -> tuple[Snapshot, Positions | None] | None:
        """With the newest positions, also if those come meanwhile. None if a newer configuration came."""
        while (positions := self._positions) is not None:
            for snapshot in base.positions_in_slices(positions.endpoints):
                await asyncio.sleep(0)
                if self._newest is not message:
                    return None
                if self._positions is not positions:
                    break
                if snapshot is not None:
                    return snapshot, positions
        return base, None


async def _release(previous: list[Snapshot]) -> None:
    """Their parts go one after the other: to free the memory of thousands of objects takes a while too.

    What requests under way still have goes with the last of them.
    """
    parts: list[object] = []
    while previous:
        each = previous.pop()
        parts += [each.endpoints, each.table]
        del each
    while parts:
        await asyncio.sleep(0)
        parts.pop()
