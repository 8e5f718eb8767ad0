"""Rolling restart: new code and settings, worker by worker, without a failed request.

The control process replaces itself by exec and finds its workers again as orphans that went on serving. Then,
slot by slot, a new worker is started beside the old one; once it serves, the old one drains patiently. A new
worker that does not come up ends the roll: it is killed, and those that were not replaced yet stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from proxy.control.log import log


@dataclass(frozen=True, slots=True)
class Restart:
    """One rolling restart; `id` tells it from others.

    `workers` are the pids of the workers at its beginning; `listen` is the setting they were started with;
    `admin` is the admin port's new address, "" if that stays. `socket` and `text` are descriptors: the socket
    they listen on, and the configuration in force; -1 if they could not be handed over. `begun` (monotonic)
    and `used` (processor time) are the process's seconds when it gave itself up.
    """

    id: str
    workers: tuple[int, ...]
    listen: str
    admin: str = ""
    state: Literal["rolling", "done", "failed"] = "rolling"
    detail: str = ""
    socket: int = -1
    text: int = -1
    begun: float = 0.0
    used: float = 0.0


class Slots(Protocol):
    """What a roll needs of the supervisor."""

    async def replace(self, slot: int) -> str:
        """Puts a new worker in this slot and drains the old one once it serves; else says why not."""

    def shrink(self, count: int) -> None:
        """Drains the workers of slots that are not one of 0 to count - 1."""

    def restore(self, count: int) -> None:
        """Fills those of the slots 0 to count - 1 that nobody keeps."""

    async def retired(self) -> None:
        """Until every worker that was told to drain has gone."""


async def roll(restart: Restart, slots: Slots, count: int) -> Restart:
    """Replaces the workers of slots 0 to count - 1 and drains those beyond; returns how it ended."""
    for slot in range(count):
        problem = await slots.replace(slot)
        if problem:
            detail = f"the new worker {slot} {problem}; workers that were not replaced yet go on serving"
            log.error("rolling restart stopped: %s", detail)
            slots.restore(count)
            return replace(restart, state="failed", detail=detail)
    slots.shrink(count)
    await slots.retired()
    log.info("rolling restart done: %d workers", count)
    return replace(restart, state="done", detail=f"{count} workers")
