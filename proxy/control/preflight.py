"""Before a rolling restart gives up the running process: would the next one come up?

The same command is started once more, with a variable that makes it look, tell and end. So the code that is
tried is the code that would run, and the file is judged by it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from proxy.control.errors import StartupError
from proxy.control.listener import listen
from proxy.core.snapshot import Server

VARIABLE = "STRANGLER_PREFLIGHT"
TIMEOUT = 50.0  # seconds; `strangler restart` waits 60 for the answer
LINES = 20  # of what the new code says


class Bound(msgspec.Struct, frozen=True):
    """What the running process holds and the next one takes over: two addresses as configured, a path, the
    state database. "" of a process that does not tell."""

    listen: str
    admin: str
    runtime_dir: str
    state: str = ""


async def preflight(command: Sequence[str], bound: Bound) -> str:
    """Starts `command` as a trial; "" if it would come up, else why not."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, VARIABLE: msgspec.json.encode(bound).decode()},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            _, output = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"the new code did not load within {TIMEOUT:g} s"
    if process.returncode == 0:
        return ""
    lines = output.decode("utf-8", "replace").strip().splitlines()[-LINES:]
    return "\n".join(lines) or f"the new code ended with status {process.returncode}"


def requested() -> Bound | None:
    """What a trial is to be held against, if this process is one."""
    text = os.environ.pop(VARIABLE, "")
    try:
        return msgspec.json.decode(text, type=Bound) if text else None
    except msgspec.DecodeError as error:
        raise StartupError(f"{VARIABLE} is set, but not by a restart: {error}; unset it") from error


def check(server: Server, bound: Bound) -> None:
    """Raises StartupError if a control process with these settings could not take over."""
    if Path(server.runtime_dir).absolute() != Path(bound.runtime_dir):
        raise StartupError(
            f"server.runtime_dir: is {bound.runtime_dir} in the running process, through which workers are "
            "handed over; stop and start to change it"
        )
    if bound.state and server.state != bound.state:
        raise StartupError(
            "server.state: is another one than in the running process, and old and new workers would not "
            "know each other's idempotency keys; change it back, or stop the proxy entirely and start it"
        )
    for setting, address, held in (
        ("server.listen", server.listen, bound.listen),
        ("server.admin", server.admin, bound.admin),
    ):
        if address != held:
            listen(setting, address).close()
