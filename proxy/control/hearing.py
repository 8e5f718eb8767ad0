"""Whether this process can accept a worker's connection; the channel reports it to the pulse."""

from __future__ import annotations


class Hearing:
    def __init__(self) -> None:
        self.deaf = False  # descriptors ran out: who knocks is not heard
