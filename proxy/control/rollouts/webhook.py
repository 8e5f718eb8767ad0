"""Tells others of every change of a rollout: a POST of JSON to `webhook` of its plan.

Nobody waits for it. Each address has its own bounded queue, so that one that does not answer holds up no
other; what it missed is sent in order when it answers again. An address may hold a secret: only its host is
logged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.control.log import log

WAITING: Final = 200  # changes per address; the oldest are given up first
ADDRESSES: Final = 100
TIMEOUT: Final = 5.0  # seconds for one answer
FIRST: Final = 1.0  # seconds after the first failure; doubles
LONGEST: Final = 300.0
TRIED_AGAIN: Final = frozenset({408, 425, 429})  # and 5xx: what may be taken later


class Webhooks:
    """`send` never blocks. `first` is the pause after a failure, in seconds."""

    def __init__(self, first: float = FIRST) -> None:
        self._first = first
        self._queues: dict[str, deque[Mapping[str, Any]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.lost = 0

    def send(self, url: str, change: Mapping[str, Any]) -> None:
        """Needs a loop."""
        queue = self._queues.get(url)
        if queue is None:
            if len(self._queues) >= ADDRESSES:
                self.lost += 1
                return
            queue = self._queues[url] = deque()
        if len(queue) >= WAITING:
            queue.popleft()
            self.lost += 1
        queue.append(change)
        if url not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._deliver(url, queue))
            self._tasks[url] = task
            task.add_done_callback(lambda _: self._done(url))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _done(self, url: str) -> None:
        self._tasks.pop(url, None)
        if not self._queues.get(url):
            self._queues.pop(url, None)

    async def _deliver(self, url: str, queue: deque[Mapping[str, Any]]) -> None:
        """Until nothing waits."""
        import httpx2  # only who has a webhook pays for it

        pause = 0.0
        async with httpx2.AsyncClient(timeout=TIMEOUT) as client:
            while queue:
                change = queue[0]
                try:
                    answer = await client.post(url, json=dict(change))
                    problem = "" if answer.is_success else f"status {answer.status_code}"
                    again = answer.status_code in TRIED_AGAIN or answer.status_code >= 500
                except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                    problem, again = type(error).__name__, True
                if problem and not pause:
                    log.error("the webhook at %s does not take a change: %s", _host(url), problem)
                if problem and again:
                    pause = min(LONGEST, pause * 2 or self._first)
                    await asyncio.sleep(pause)
                    continue
                if queue and queue[0] is change:  # it may have been given up in the meantime
                    queue.popleft()
                self.lost += bool(problem)
                if pause and not problem:
                    log.info("the webhook at %s takes changes again", _host(url))
                    pause = 0.0


def _host(url: str) -> str:
    return urlsplit(url).hostname or "an address without a host"
