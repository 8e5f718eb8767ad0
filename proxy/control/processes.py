"""Worker processes: children of this process, and orphans of a control process that died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Protocol

from proxy import signals
from proxy.control.log import log

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
        self._fd: int | None = None
        self._gone = False
        self._open()

    def _open(self) -> None:
        """Without a pidfd, or a descriptor for one, the pid has to do."""
        if self._fd is None and hasattr(os, "pidfd_open"):
            try:
                self._fd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                self._gone = True
            except OSError as error:
                log.warning("no pidfd for process %d: %s", self.pid, error.strerror)

    async def wait(self) -> str:
        while self._fd is None:
            if self._gone or not _exists(self.pid):
                _reap(self.pid)
                return "ended"
            await asyncio.sleep(POLL)  # nothing tells us
            self._open()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._fd)
            _reap(self.pid)
            os.close(self._fd)
            self._fd, self._gone = None, True
        return "ended"

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            elif not self._gone:
                os.kill(self.pid, number)


async def start(command: Sequence[str], *, fd: int) -> Child:
    """Starts a worker with the listening socket `fd` at the same number. Raises OSError.

    In a session of its own: Ctrl-C in a terminal is for the control process, which drains the workers. It
    holds signals back until it can ignore them; nothing is awaited before it has inherited that.
    """
    signals.hold()
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(fd,), start_new_session=True
        )
    finally:
        signals.release()
    return Child(process)


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
