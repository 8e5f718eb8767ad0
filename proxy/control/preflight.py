"""Checks that the next process would start, before a rolling restart gives up the running one.

The same command is started once more, with a variable that makes it check, report and exit. So the code
that is tried is the code that would run, and it validates the file. A trial that takes too long is asked
for its stack (with SIGABRT, for which Python's fault handler prints it), and then killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from proxy import owned
from proxy.control.errors import StartupError
from proxy.control.handover import taken
from proxy.control.listener import listen
from proxy.core.settings import Server

VARIABLE = "STRANGLER_PREFLIGHT"
TIMEOUT = 50.0  # seconds; `strangler restart` waits 75 for the answer
LAST_WORDS = 2.0  # seconds in which one that takes longer may say where it is
LINES = 20  # of what the new code says


class Bound(msgspec.Struct, frozen=True):
    """What the running process holds and the next one takes over: two addresses as configured, a path, the
    state database. "" of a process that does not tell."""

    listen: str
    admin: str
    runtime_dir: str
    state: str = ""


async def preflight(command: Sequence[str], bound: Bound, timeout: float = TIMEOUT) -> str:
    """Starts `command` as a trial; "" if it would come up, else why not. A cancelled one is ended."""
    used = _used_by_children()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, VARIABLE: msgspec.json.encode(bound).decode(), "PYTHONFAULTHANDLER": "1"},
        start_new_session=True,
    )
    talk = asyncio.create_task(process.communicate())
    try:
        await asyncio.wait((talk,), timeout=timeout)
        if talk.done():
            return _judged(process.returncode or 0, _lines(talk))
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGABRT)
        await asyncio.wait((talk,), timeout=LAST_WORDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await asyncio.wait((talk,), timeout=LAST_WORDS)
    spent = f"it used {_used_by_children() - used:.1f} s of processor time, and this is where it was:"
    return "\n".join((f"the new code did not load within {timeout:g} s; {spent}", *_lines(talk)[:LINES]))


def _judged(code: int, lines: list[str]) -> str:
    if code == 0:
        return ""
    return "\n".join(lines[-LINES:]) or f"the new code ended with status {code}"


def _lines(talk: asyncio.Task[tuple[bytes, bytes]]) -> list[str]:
    """Its output; nothing while something that it started keeps its standard error open."""
    return talk.result()[1].decode("utf-8", "replace").strip().splitlines() if talk.done() else []


def _used_by_children() -> float:
    """Seconds of processor time of the children that have ended: little in long time is a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def requested() -> Bound | None:
    """What a trial is compared with, if this process is one."""
    return taken(VARIABLE, Bound)


def check(server: Server, bound: Bound) -> None:
    """Raises StartupError if a control process with these settings could not take over."""
    folder = Path(server.runtime_dir).absolute()
    if (owned.find_private(folder) or folder) != Path(bound.runtime_dir):
        raise StartupError(
            f"server.runtime_dir: is {bound.runtime_dir} in the running process, through which workers are "
            "handed over; stop and start the proxy to change it"
        )
    if bound.state and server.state != bound.state:
        raise StartupError(
            "server.state: differs from the running process, so old and new workers would not know each "
            "other's idempotency keys; change it back, or stop and start the whole proxy"
        )
    for setting, address, held in (
        ("server.listen", server.listen, bound.listen),
        ("server.admin", server.admin, bound.admin),
    ):
        if address != held:
            listen(setting, address).close()
