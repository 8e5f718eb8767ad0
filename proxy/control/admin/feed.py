"""The figures of the status page, rendered once for all viewers, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

INTERVAL: Final = 2.0  # seconds between two looks
VIEWERS: Final = 32
KEEP_ALIVE: Final = 15.0  # seconds of silence after which a comment is sent, so that a dead viewer is noticed


class Feed:
    """`render` makes the fragment; it is called at most once per INTERVAL, and not at all without viewers."""

    def __init__(self, render: Callable[[], str]) -> None:
        self._render = render
        self._html = ""
        self._made = float("-inf")
        self._closed = asyncio.Event()
        self.viewers = 0

    def full(self) -> bool:
        return self.viewers >= VIEWERS

    def close(self) -> None:
        """Ends every stream."""
        self._closed.set()

    async def events(self) -> AsyncIterator[str]:
        """The fragment now, and whenever it has changed."""
        self.viewers += 1
        try:
            seen, silent = "", 0.0
            while not self._closed.is_set():
                html = self._latest()
                if html != seen:
                    seen, silent = html, 0.0
                    yield event("figures", html)
                elif (silent := silent + INTERVAL) >= KEEP_ALIVE:
                    silent = 0.0
                    yield ": nothing new\n\n"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), INTERVAL)
        finally:
            self.viewers -= 1

    def _latest(self) -> str:
        if time.monotonic() - self._made >= INTERVAL / 2:
            self._html, self._made = self._render(), time.monotonic()
        return self._html


def event(name: str, data: str) -> str:
    """One event in the format of text/event-stream (WHATWG HTML, section 9.2.5)."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n"
