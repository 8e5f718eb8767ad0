"""A time limit that does not blame others for this process's own delay."""

from __future__ import annotations

import asyncio
from types import TracebackType

TURNS = 3  # of the event loop: a reply is read in one, and whoever waits for it wakes in the next


class Deadline:
    """As `asyncio.timeout(seconds)`, but a reply that had come by then counts.

    A loop that was busy for longer finds both the reply and the end of the time when it comes back. The plain
    timeout would then cancel, and the connection would be lost with the reply in it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle = self._loop.call_later(self._seconds, self._wait, TURNS)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _wait(self, turns: int) -> None:
        if turns:
            self._handle = self._loop.call_soon(self._wait, turns - 1)
        else:
            self._expired = True
            self._task.cancel()
