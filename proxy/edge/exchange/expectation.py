"""A client that waits for `100 Continue` at an endpoint that buffers nothing: the backend is asked first.

    head, with Expect -> 100, or nothing for LONGEST -> the client's body
                      -> a final answer, for which the body is never read

Where bodies are buffered the client is told to go on at once, for the backend sees nothing before the buffer
is full; and of a keyed write the whole is needed before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LINE = b"expect: 100-continue\r\n"
LONGEST = 1.0  # seconds; a backend may not know 100 (RFC 9110 section 10.1.1). Not Final: tests change it


class Expectation:
    """Belongs to one exchange until its body may come: `met` is called then, at least once."""

    __slots__ = ("_loop", "_met", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, met: Callable[[], None]) -> None:
        self._loop = loop
        self._met = met
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """The head is on its way to a backend, perhaps to another one than before."""
        self.stop()
        self._timer = self._loop.call_later(LONGEST, self._met)

    def stop(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
