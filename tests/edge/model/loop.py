"""An event loop whose clock and callbacks move only when the machine says so.

As on any loop, what `call_soon` was given runs in that order, and timers in the order of their times. When
they run, and which of the two goes first, is the machine's choice: between two callbacks bytes may come in,
time may pass, and a late loop finds many timers due at once.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

MANY = 10_000  # callbacks in a row: more is a loop that never ends


class Dial:
    """A connection that is being made; the machine says how that ends."""

    def __init__(self, loop: FakeLoop, factory: Callable[[], Any], port: int) -> None:
        self.factory = factory
        self.port = port
        self.transport: Any = None
        self.future: asyncio.Future[None] = loop.create_future()


class FakeLoop(asyncio.AbstractEventLoop):
    """What proxy.edge uses of a loop, and no more."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: deque[asyncio.Handle] = deque()
        self.dials: list[Dial] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.errors: list[str] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = 0

    # the machine's side

    def run(self, limit: int = MANY, timers_first: bool = False) -> int:
        """Run up to `limit` callbacks that are ready; returns how many there were."""
        count = 0
        while count < limit:
            handle = self._next(timers_first)
            if handle is None:
                return count
            if not handle.cancelled():
                handle._run()
                count += 1
        assert limit < MANY, "the callbacks never end"
        return count

    def has_work(self) -> bool:
        return bool(self.soon) or bool(self._timers and self._timers[0][0] <= self.now)

    def _next(self, timers_first: bool) -> asyncio.Handle | None:
        due = self._timers and self._timers[0][0] <= self.now
        if due and (timers_first or not self.soon):
            return heapq.heappop(self._timers)[2]
        return self.soon.popleft() if self.soon else None

    def close(self) -> None:
        """Cancel what is left, so that nothing complains when it is collected."""
        for task in self.tasks:
            task.cancel()
        self.run()
        self.tasks.clear()

    # the loop's side

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.soon.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in its place and is passed over."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, **kwargs)
        self.tasks.add(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Ends as the machine says, or with its caller's patience, as asyncio's own would."""
        dial = Dial(self, protocol_factory, port)
        self.dials.append(dial)
        try:
            await dial.future
        except BaseException:
            if dial.transport is not None:
                dial.transport.close()
            raise
        finally:
            if dial in self.dials:
                self.dials.remove(dial)
        return dial.transport, dial.transport.protocol


class Running:
    """While it lasts, `loop` is the running one of this thread."""

    def __init__(self, loop: FakeLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        events._set_running_loop(self._loop)

    def __exit__(self, *_: object) -> None:
        events._set_running_loop(None)
