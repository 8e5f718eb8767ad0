"""Worker processes: our own children, and orphans of a control process that died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Protocol

POLL = 0.1  # seconds between looks at an adopted process where the system has no pidfd


class Process(Protocol):
    """A running worker process."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> str:
        """Until it has ended; says how, for the log."""

    def send_signal(self, number: int) -> None:
        """Does nothing if it has ended."""


class Child:
    """A worker that this control process started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> str:
        code = await self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class Orphan:
    """A worker that another control process started, which may have been this process before its exec.

    A pidfd stands for the process itself, so a reused pid is never signalled; it becomes readable at the end.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = _pidfd(pid)

    async def wait(self) -> str:
        if self._fd is None:
            while _exists(self.pid):  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(POLL)
            return "ended"
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._fd)
            _reap(self.pid)
            os.close(self._fd)
            self._fd = None
        return "ended"

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            elif not hasattr(os, "pidfd_open"):
                os.kill(self.pid, number)


async def start(command: Sequence[str], *, fd: int) -> Child:
    """Starts a worker with the listening socket `fd` at the same number. Raises OSError.

    In a session of its own: Ctrl-C in a terminal is for the control process, which drains the workers.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(fd,), start_new_session=True
    )
    return Child(process)


def _pidfd(pid: int) -> int | None:
    """None if the system has no pidfd, or the process has just ended."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _reap(pid: int) -> None:
    """Before an exec it was started by this very process; then nobody else takes its exit status."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def is_child(pid: int) -> bool:
    """Whether this is a process that this one has started, be it before an exec, and that has not ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _exists(pid: int) -> bool:
    _reap(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
