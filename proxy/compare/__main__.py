"""`python -m proxy.compare`: the comparer, started by the control process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import uvloop

from proxy import logs, signals
from proxy.compare import tracing
from proxy.compare.process import ComparerRuntime

NICE = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="The comparer. Started by `strangler serve`, not by hand.")
    parser.add_argument("--folder", type=Path, required=True, help="server.runtime_dir")
    parser.add_argument(
        "--fd", type=int, required=True, help="descriptor of the socket to the control process"
    )
    options = parser.parse_args()
    logs.configure("comparer")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; control tells us to end
    signals.ignore()
    _step_back()
    tracing.start()
    uvloop.run(_run(options.folder, socket.socket(fileno=options.fd)))
    tracing.close()


def _step_back() -> None:
    """Lets the processes that serve clients go first, and does not interrupt them for comparisons."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def _run(folder: Path, control: socket.socket) -> None:
    process = ComparerRuntime(folder, control)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.stop)
    await process.run()


if __name__ == "__main__":
    main()
