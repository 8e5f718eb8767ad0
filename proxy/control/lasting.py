"""Keeps what the control process does in the background going, whatever happens to it.

A background task that fails would take the whole process with it. Out of descriptors, threads or memory, it
is better to try again in a moment than to leave the workers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.control.log import log

AGAIN = 1.0  # seconds after a failure


async def lasting(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Does `work` until it returns or is cancelled; after an exception, once more."""
    while True:
        try:
            return await work()
        except Exception:
            log.exception("%s failed; trying again", name)
            await asyncio.sleep(AGAIN)


async def harmless(name: str, work: Awaitable[object]) -> None:
    """Does `work` once; an exception is logged, and nothing else suffers from it."""
    try:
        await work
    except Exception:
        log.exception("%s failed", name)
