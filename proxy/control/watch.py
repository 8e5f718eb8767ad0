"""Notices changes of the configuration file.

It does so in two ways: inotify on the *directory* detects editors that replace the file, and a ConfigMap's
symlink swap. Reading the content every second detects everything else (a single-file bind mount, a network
file system, a symlink with a target elsewhere).
"""

from __future__ import annotations

import asyncio
import contextlib

from watchfiles import awatch

from proxy.control.descriptors import EXHAUSTED
from proxy.control.log import log
from proxy.control.reload import Reloader, digest, read

POLL = 1.0  # seconds between looks
SETTLE = 0.1  # seconds for which the content must stay the same: an editor may still be writing
SETTLE_TRIES = 20


class Watcher:
    """Calls `reloader` once per new content, after it has settled. Run it as a task; cancel it."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._look = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_directory())
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._look.wait()
                self._look.clear()
                await self._check()

    async def _check(self) -> None:
        path = self._reloader.path
        content = await asyncio.to_thread(read, path)
        if isinstance(content, OSError) and content.errno in EXHAUSTED:
            log.error("cannot read the configuration file: %s; trying again", content.strerror)
            return  # that says nothing of the file
        if self._reloader.is_judged(content):
            return
        for _ in range(SETTLE_TRIES):
            await asyncio.sleep(SETTLE)
            before, content = content, await asyncio.to_thread(read, path)
            if digest(before) == digest(content):
                break
        await self._reloader.reload_if_changed(content, "file changed")

    async def _watch_directory(self) -> None:
        directory = self._reloader.path.parent
        try:
            async for _ in awatch(directory, recursive=False, debounce=50, step=10):
                self._look.set()
        except Exception as error:  # no inotify or descriptor left, or the directory is gone
            log.warning("cannot watch %s (%s); checking the file every second instead", directory, error)
