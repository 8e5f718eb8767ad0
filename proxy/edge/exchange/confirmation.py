"""Checks that an old claim is still held before the first byte of its write is sent.

A worker may be stopped for so long that the others consider it dead, and an operator gives its key to
another attempt. When it resumes, it must not send what it had claimed before. Between this check and the
first byte no time passes except the event loop's own turn.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from proxy.core.resilience.idempotency import Record
from proxy.edge.writes import Writes
from proxy.store import StoreUnavailable
from proxy.store.claims import OLD
from proxy.store.clock import elapsed

LATE = 3.0  # seconds that a confirmation holds, from the question on. Not Final: tests shorten it
CONFIRMATIONS: Final = 3


def is_old(asked: float) -> bool:
    """Whether a claim has to be confirmed of which the store was last asked at `asked`."""
    return elapsed() - asked > OLD


async def ask_whether_held(writes: Writes, record: Record) -> tuple[float, bool | None]:
    """When the store was asked, and what it says; None: no answer that still holds when it is here."""
    for _ in range(CONFIRMATIONS):
        asked = elapsed()
        held: bool | None = None
        with suppress(StoreUnavailable):
            held = await writes.claims().confirm(record)
        if not held or elapsed() - asked <= LATE:
            return asked, held
    return asked, None  # this process is stopped again and again
