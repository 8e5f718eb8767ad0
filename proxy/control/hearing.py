"""Whether this process can hear a worker that connects: the channel tells the pulse."""

from __future__ import annotations


class Hearing:
    def __init__(self) -> None:
        self.deaf = False  # descriptors ran out: who knocks is not heard
