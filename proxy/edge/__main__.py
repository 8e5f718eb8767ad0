"""`python -m proxy.edge`: one worker, started by the control process."""

from __future__ import annotations

import gc

gc.disable()  # what is imported never becomes garbage

import argparse
import asyncio
import signal
import socket

import uvloop

from proxy import logs, signals
from proxy.edge.worker import Worker


def main() -> None:
    parser = argparse.ArgumentParser(description="An edge worker. Started by `strangler serve`, not by hand.")
    parser.add_argument("--worker", type=int, required=True, help="number of this worker")
    parser.add_argument("--channel", required=True, help="path of the control process's unix socket")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the listening socket")
    options = parser.parse_args()
    logs.configure(f"worker {options.worker}")
    listener = socket.socket(fileno=options.fd)
    listener.setblocking(False)
    # Ctrl-C and a closed terminal reach the whole group; control tells us to drain, and to open the log anew.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.ignore()
    # Requests leave no cycles behind; what was imported never becomes garbage. Look rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
    uvloop.run(_run(options.worker, options.channel, listener))


async def _run(number: int, channel: str, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(loop, number, channel, listener, settled=gc.freeze)  # nor is a table looked through
    loop.add_signal_handler(signal.SIGTERM, worker.drain, 30.0)
    await worker.run()


if __name__ == "__main__":
    main()
