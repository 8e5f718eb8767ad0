"""Keeps the background tasks of the control process running, whatever happens to them.

A background task that fails would end the whole process. If descriptors, threads or memory run out, it is
better to try again in a moment than to abandon the workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.control.log import log

AGAIN = 1.0  # seconds after a failure


async def lasting(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` until it returns or is cancelled, and runs it again after an exception."""
    while True:
        try:
            return await work()
        except Exception:
            log.exception("%s failed; trying again", name)
            await asyncio.sleep(AGAIN)


async def harmless(name: str, work: Awaitable[object]) -> None:
    """Runs `work` once; an exception is logged and has no other effect."""
    try:
        await work
    except Exception:
        log.exception("%s failed", name)
