"""What the supervisor knows of one worker."""

from __future__ import annotations

import time

from proxy.control.channel import Link
from proxy.control.processes import Process
from proxy.core.wire.messages import Apply


class Member:
    """One worker process and its connection, if it has one now."""

    def __init__(self, slot: int, process: Process) -> None:
        self.slot = slot
        self.process = process
        self.started = time.monotonic()
        self.link: Link | None = None
        self.incarnation = ""
        self.hash = ""
        self.generation = 0
        self.connections = 0
        self.tasks = 0
        self.refused = ""  # why it could not apply the newest snapshot
        self.ended = ""  # how, once it has
        self.kept = True  # replaced when it dies: neither on trial nor told to drain
        self.retired = False
        self.heard = 0.0  # when it last said something, in seconds of `Pulse.now`
        self.silent = False  # it has missed several reports, and that was logged
        self.killed = False  # for being silent

    @property
    def pid(self) -> int:
        return self.process.pid

    def serves(self, newest: Apply) -> bool:
        return self.hash == newest.hash and self.generation == newest.generation
