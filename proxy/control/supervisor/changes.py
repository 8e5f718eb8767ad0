"""Waiting for something about the workers to become true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Changes:
    """Whoever changes what others may wait for calls `tell`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Until the condition holds, for at most `timeout` seconds (None: for ever); whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._event.wait()
        return bool(condition())
