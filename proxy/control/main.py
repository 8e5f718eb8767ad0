"""`strangler serve`: validates the configuration, and runs the process until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from proxy import logs, signals
from proxy.control import preflight
from proxy.control.errors import StartupError
from proxy.control.handover import announced, handed_text
from proxy.control.instance import serve
from proxy.control.listener import RuntimeDir, listen
from proxy.control.oneoff import OneOffCompare
from proxy.control.parts import Given
from proxy.control.reload import load, read
from proxy.interpreter import module_command

WORKER: Final = module_command("proxy.edge")


def run(path: Path, worker: Sequence[str] = WORKER, one_off: OneOffCompare | None = None) -> None:
    """Serves until SIGTERM or SIGINT. `worker` is the command that starts a worker, `one_off` what the admin
    port asks both backends with.

    Raises ConfigErrors and StartupError if it cannot start.
    """
    signals.hold()  # until there are handlers
    logs.configure("control")
    bound = preflight.requested()
    restart = announced()
    content = read(path) if (handed := handed_text(restart)) is None else handed
    if isinstance(content, OSError):
        raise StartupError(f"{path}: cannot be read: {content.strerror}")
    loaded = load(content, str(path))
    server = loaded.snapshot.server
    if bound is not None:
        preflight.check(server, bound)
        return
    runtime = RuntimeDir(server.runtime_dir)
    try:
        with listen("server.admin", server.admin) as admin:
            given = Given(path, content, loaded, runtime.path, worker, restart, one_off)
            gc.freeze()
            gc.enable()  # proxy/entry.py
            asyncio.run(serve(given, admin))
    finally:
        runtime.release()
